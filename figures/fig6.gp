# Fig. 6: accuracy on Dataset1, published and ours with Wilson's 95 % intervals; below, what the paper cites of others, on other cells.
load 'figures/style.gp'
eval begin(14.4, 7.6)
set lmargin at screen 0.30; set rmargin at screen 0.98; set bmargin at screen 0.18; set tmargin at screen 0.90
set yrange [0.4:8.6]; set ytics scale 0; set border 1; set grid noytics
set ytics ('WBCsNet-2' 8, 'WBCsNet' 7, 'Ramesh 2012, two steps' 6, \
  '\textcolor{gray}{Wu, feature fusion}' 5, '\textcolor{gray}{VGG-16, transfer}' 4, '\textcolor{gray}{Zhao 2017}' 3, \
  '\textcolor{gray}{Razzak 2017}' 2, '\textcolor{gray}{Habibzadeh 2013}' 1)
set xlabel 'accuracy (\%)' offset 0,0.3
set arrow from graph 0, first 5.5 to graph 1, first 5.5 nohead lc rgb faint lw 1
set label '\textcolor{gray}{\scriptsize\itshape on other cells, as the paper cites them}' at graph 0.01, first 5.25 left
r = results.'/cv/scores.dat'
set key at screen 0.98, screen 0.99 right top horizontal maxrows 1 Left reverse samplen 1
set offsets graph 0.02, graph 0.02, 0, 0
arm(name, y) = strcol(1) eq name ? y : NaN
plot $one u (published('fig6/wbcsnet2')):(8.17) w p ls 8 t 'published', \
     $one u (published('fig6/wbcsnet')):(7.17) w p ls 8 notitle, $one u (published('fig6/traditional')):(6) w p ls 8 notitle, \
     $one u (published('literature/wu')):(5) w p ls 8 lc rgb grey notitle, $one u (published('literature/vgg16')):(4) w p ls 8 lc rgb grey notitle, \
     $one u (published('literature/zhao')):(3) w p ls 8 lc rgb grey notitle, $one u (published('literature/razzak')):(2) w p ls 8 lc rgb grey notitle, \
     $one u (published('literature/habibzadeh')):(1) w p ls 8 lc rgb grey notitle, \
     r u 2:(arm('wbcsnet2', 7.83)):3:4 w xerrorbars ls 1 t 'ours, WBCsNet-2', \
     r u 2:(arm('wbcsnet', 6.83)):3:4 w xerrorbars ls 2 dt solid t 'ours, WBCsNet'
