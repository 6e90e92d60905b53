# Fig. 6: accuracy on Dataset1. Left what is published and the record; below, what the paper cites of others, on other cells. Right this
# machine's own runs (or those of an archive), apart, with Wilson's 95 % intervals.
load 'figures/style.gp'
arms = results.'/cv/arms.dat'; full = record.'/cv/scores.dat'
stats arms u 1 nooutput
n = STATS_max; others = 5
h = 2.0 + 0.62 * (n + others)
eval begin(14.4, h)
set multiplot
set bmargin at screen 1.2 / h; set tmargin at screen 1 - 0.85 / h
set yrange [0.4 - others:n + 0.6]; set ytics scale 0; set border 1; set grid noytics
eval 'set ytics ('.labels(arms).')'
set ytics add ('\textcolor{gray}{Wu, feature fusion}' 0, '\textcolor{gray}{VGG-16, transfer}' -1, '\textcolor{gray}{Zhao 2017}' -2, \
  '\textcolor{gray}{Razzak 2017}' -3, '\textcolor{gray}{Habibzadeh 2013}' -4)
set xlabel 'accuracy (\%)' offset 0,0.3
set arrow from graph 0, first 0.5 to graph 1, first 0.5 nohead lc rgb faint lw 1
unset key
set offsets graph 0.02, graph 0.02, 0, 0; set autoscale xfix
row(name) = (at = system("awk '$8 == \"".name."\" { print $1 }' ".arms), strlen(at) ? real(at) : NaN)
cited = "$one u (published('literature/wu')):(0) w p ls 8 lc rgb grey notitle, $one u (published('literature/vgg16')):(-1) w p ls 8 lc rgb grey notitle, \
  $one u (published('literature/zhao')):(-2) w p ls 8 lc rgb grey notitle, $one u (published('literature/razzak')):(-3) w p ls 8 lc rgb grey notitle, \
  $one u (published('literature/habibzadeh')):(-4) w p ls 8 lc rgb grey notitle"
printed = "$one u (published('fig6/wbcsnet2')):(row('wbcsnet2') + 0.2) w p ls 8 notitle, $one u (published('fig6/wbcsnet')):(row('wbcsnet') + 0.2) w p ls 8 notitle, \
  $one u (published('fig6/traditional')):(row('ramesh') + 0.2) w p ls 8 notitle"
recorded = there(full) ? sprintf(", '%s' u (strcol(1) eq 'wbcsnet2' ? $2 : NaN):(row(strcol(1)) - 0.12):3:4 w xerrorbars ls 1 notitle, \
  '%s' u (strcol(1) eq 'wbcsnet' ? $2 : NaN):(row(strcol(1)) - 0.12):3:4 w xerrorbars ls 2 dt solid notitle, \
  '%s' u (strcol(1) eq 'wbcsnet2' || strcol(1) eq 'wbcsnet' ? NaN : $2):(row(strcol(1)) - 0.12):3:4 w xerrorbars ls 3 dt solid notitle", full, full, full) : ''
eval panel(0.29, alone ? 0.985 : 0.62, there(full) ? 'published (rings), and the record' : 'published')
set xtics 5
cells = "set label 1 '\\textcolor{gray}{\\scriptsize\\itshape $\\leftarrow$ on other cells, as the paper cites them}' at graph 0.02, first -2 left"
if (alone) { eval cells }
eval 'plot '.printed.', '.cited.recorded
unset label 1
if (!alone) {
  unset label 100; set format y ''; set ytics ('' 1); set xtics autofreq; eval cells
  eval panel(0.67, 0.98, whose)
  plot arms u 2:(strcol(8) eq 'wbcsnet2' ? $1 : NaN):3:4 w xerrorbars ls 1, arms u 2:(strcol(8) eq 'wbcsnet' ? $1 : NaN):3:4 w xerrorbars ls 2 dt solid, \
     arms u 2:(strcol(8) eq 'wbcsnet2' || strcol(8) eq 'wbcsnet' ? NaN : $1):3:4 w xerrorbars ls 3 dt solid
}
unset multiplot
