# Fig. 6: accuracy on Dataset1, ours with Wilson's 95 % intervals and published; below, what the paper cites of others, on other cells.
load 'figures/style.gp'
arms = results.'/cv/arms.dat'
stats arms u 1 nooutput
n = STATS_max; others = 5
eval begin(14.4, 1.7 + 0.62 * (n + others))
h = 1.7 + 0.62 * (n + others)
set lmargin at screen 0.30; set rmargin at screen 0.98; set bmargin at screen 1.2 / h; set tmargin at screen 1 - 0.75 / h
set yrange [0.4 - others:n + 0.6]; set ytics scale 0; set border 1; set grid noytics
eval 'set ytics ('.labels(arms).')'
set ytics add ('\textcolor{gray}{Wu, feature fusion}' 0, '\textcolor{gray}{VGG-16, transfer}' -1, '\textcolor{gray}{Zhao 2017}' -2, \
  '\textcolor{gray}{Razzak 2017}' -3, '\textcolor{gray}{Habibzadeh 2013}' -4)
set xlabel 'accuracy (\%)' offset 0,0.3
set arrow from graph 0, first 0.5 to graph 1, first 0.5 nohead lc rgb faint lw 1
set label '\textcolor{gray}{\scriptsize\itshape on other cells, as the paper cites them}' at graph 0.01, first 0.25 left
set key at screen 0.98, screen 0.995 right top horizontal maxrows 1 Left reverse samplen 1
set offsets graph 0.02, graph 0.02, 0, 0; set autoscale xfix
place(name) = (there = system("awk '$8 == \"".name."\" { print $1 }' ".arms), strlen(there) ? real(there) + 0.2 : NaN)
plot $one u (published('fig6/wbcsnet2')):(place('wbcsnet2')) w p ls 8 t 'published', \
     $one u (published('fig6/wbcsnet')):(place('wbcsnet')) w p ls 8 notitle, \
     $one u (published('fig6/traditional')):(place('ramesh')) w p ls 8 notitle, \
     $one u (published('literature/wu')):(0) w p ls 8 lc rgb grey notitle, $one u (published('literature/vgg16')):(-1) w p ls 8 lc rgb grey notitle, \
     $one u (published('literature/zhao')):(-2) w p ls 8 lc rgb grey notitle, $one u (published('literature/razzak')):(-3) w p ls 8 lc rgb grey notitle, \
     $one u (published('literature/habibzadeh')):(-4) w p ls 8 lc rgb grey notitle, \
     arms u 2:(strcol(8) eq 'wbcsnet2' ? $1 - 0.12 : NaN):3:4 w xerrorbars ls 1 t 'ours, WBCsNet-2', \
     arms u 2:(strcol(8) eq 'wbcsnet' ? $1 - 0.12 : NaN):3:4 w xerrorbars ls 2 dt solid t 'ours, WBCsNet', \
     arms u 2:(strcol(8) eq 'wbcsnet2' || strcol(8) eq 'wbcsnet' ? NaN : $1 - 0.12):3:4 w xerrorbars ls 3 dt solid t 'ours, others'
