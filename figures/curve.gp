# Accuracy on Dataset2 against the number of cells learned from, with Wilson's 95 % intervals.
load 'figures/style.gp'
eval begin(14.4, 6.4)
set bmargin at screen 0.2; set tmargin at screen 0.86; set lmargin at screen 0.11; set rmargin at screen 0.98
set logscale x; set xlabel 'training cells (the others are held out)' offset 0,0.3; set ylabel 'accuracy (\%)' offset -0.5,0
set xtics (25, 50, 100, 200, 400, 800, 1600); set offsets graph 0.04, graph 0.06, 0, 0; set autoscale xfix
set key at screen 0.98, screen 0.99 right top horizontal maxrows 2 Left reverse samplen 2
series(s) = "< awk '$8 ~ /^".s."-/' ".arms
plot series('two') u 7:2:3:4 w yerrorlines ls 1 t 'WBCsNet-2, tuned', \
     series('one') u ($7 * 1.03):2:3:4 w yerrorlines ls 2 t 'WBCsNet, tuned', \
     series('frozen') u ($7 * 1.06):2:3:4 w yerrorlines ls 4 t 'WBCsNet-2, frozen', \
     series('nothing') u ($7 / 1.03):2:3:4 w yerrorlines ls 3 t 'WBCsNet-2, from nothing'
