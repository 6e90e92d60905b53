# Fig. 8: accuracy on Dataset2, each net begun from its Dataset1 weights, with those weights frozen, and from nothing, with Wilson's 95 % intervals.
load 'figures/style.gp'
eval begin(14.4, 7.4)
r = results.'/transfer/scores.dat'
arm(name, y) = strcol(1) eq name ? y : NaN
set lmargin at screen 0.26; set rmargin at screen 0.98; set bmargin at screen 0.20; set tmargin at screen 0.98
set border 1; set ytics scale 0; set grid noytics; set yrange [0.5:6.6]
set ytics ('WBCsNet-2, pre-trained' 6, 'WBCsNet-2, frozen' 5, 'WBCsNet-2, from scratch' 4, 'WBCsNet, pre-trained' 3, 'WBCsNet, frozen' 2, 'WBCsNet, from scratch' 1)
set xlabel 'accuracy on Dataset2 (\%)' offset 0,0.3
unset key
set offsets graph 0.04, graph 0.04, 0, 0; set autoscale xfix
plot $one u (published('fig8/wbcsnet2')):(6.15) w p ls 8 t 'published', $one u (published('fig8/wbcsnet2') - published('fig8/gain')):(3.15) w p ls 8 notitle, \
     r u 2:(arm('wbcsnet2-tuned', 5.87)):3:4 w xerrorbars ls 1 t 'ours, WBCsNet-2', r u 2:(arm('wbcsnet2-scratch', 4)):3:4 w xerrorbars ls 1 pt 6 notitle, \
     r u 2:(arm('wbcsnet2-frozen', 5)):3:4 w xerrorbars ls 1 pt 6 notitle, r u 2:(arm('wbcsnet-frozen', 2)):3:4 w xerrorbars ls 2 dt solid pt 4 notitle, \
     r u 2:(arm('wbcsnet-tuned', 2.87)):3:4 w xerrorbars ls 2 dt solid t 'ours, WBCsNet', r u 2:(arm('wbcsnet-scratch', 1)):3:4 w xerrorbars ls 2 dt solid pt 4 notitle
