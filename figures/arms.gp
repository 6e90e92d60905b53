# The arms of one experiment: left, accuracy with Wilson's 95 % intervals, the first arm blue; with cost=1 beside it the
# work of a cell forward.
load 'figures/style.gp'
stats arms u 1 nooutput
n = STATS_max
if (cost) { stats arms u 5 name 'W' nooutput; four = 10**floor(log10(W_max / 4)); four = four * (W_max / 4 / four > 5 ? 10 : W_max / 4 / four > 2 ? 5 : 2) }
eval begin(14.4, 1.9 + 0.62 * n)
foot = 1.25 / (1.9 + 0.62 * n); head = 1 - 0.25 / (1.9 + 0.62 * n)
set multiplot
set bmargin at screen foot; set tmargin at screen head; set lmargin at screen 0.31; set rmargin at screen cost ? 0.68 : 0.98
set yrange [0.4:n + 0.6]; set border 1; set grid noytics xtics
set ytics scale 0; eval 'set ytics ('.labels(arms).')'
set xlabel 'accuracy (\%)' offset 0,0.3
set offsets graph 0.02, graph 0.02, 0, 0; set autoscale xfix
plot arms u 2:($1 < n ? $1 : NaN):3:4 w xerrorbars ls 2 notitle, arms u 2:($1 == n ? $1 : NaN):3:4 w xerrorbars ls 1 notitle
if (cost) {
unset label 100; unset ytics; set lmargin at screen 0.72; set rmargin at screen 0.98; set xlabel 'MFLOP a cell' offset 0,0.3
set xtics four; set xrange [0:*]; set offsets 0, graph 0.08, 0, 0
plot arms u 5:($1 < n ? $1 : NaN) w p ls 2 notitle, arms u 5:($1 == n ? $1 : NaN) w p ls 1 notitle
}
unset multiplot
