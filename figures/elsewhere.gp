# Other people's cells: each arm's accuracy on its teachers' own cells, in folds (open, the mean of the sets, and from the least to the most), and on those of
# every other laboratory (blue; the mean of the pairs). Made of elsewhere.dat (experiments/elsewhere/table).
load 'figures/style.gp'
stats arms u 1 nooutput
n = STATS_max
eval begin(14.4, 2.2 + 0.55 * n)
set bmargin at screen 1.25 / (2.2 + 0.55 * n); set tmargin at screen 1 - 0.75 / (2.2 + 0.55 * n); set lmargin at screen 0.34; set rmargin at screen 0.98
# from above, as the conf has them
set yrange [n + 0.6:0.4]; set border 1; set grid noytics xtics
set ytics scale 0; eval 'set ytics ('.labels(arms).')'
set key at graph 0.5,1.02 bottom center horizontal
set xlabel 'accuracy (\%)' offset 0,0.3
set xrange [0:100]
plot arms u 2:($1 - 0.16):3:4 w xerrorbars ls 8 lw 1.2 ps 1.2 title 'its own laboratory', arms u 5:($1 + 0.16):6:7 w xerrorbars ls 1 ps 1.2 title 'another'
