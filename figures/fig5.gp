# Fig. 5: training loss against the iteration (left), and how it begins under two initialisers (right).
load 'figures/style.gp'
eval begin(14.4, 6.4)
s = results.'/scratch/curve-'; b = results.'/begin/start-'
set multiplot
set lmargin at screen 0.10; set rmargin at screen 0.59; set bmargin at screen 0.19; set tmargin at screen 0.97
set xlabel 'iteration' offset 0,0.4; set ylabel 'loss of the batch' offset -0.5,0
set yrange [0:2.2<*]; set xrange [0:*]; set key top right
plot s.'wbcsnet2.dat' u 1:2 w l lc rgb '#b5d3e7' lw 0.5 notitle, s.'wbcsnet.dat' u 1:2 w l lc rgb '#f3cdb3' lw 0.5 notitle, \
     s.'wbcsnet.dat' u 1:4 w l ls 2 t 'WBCsNet', s.'wbcsnet2.dat' u 1:4 w l ls 1 t 'WBCsNet-2', \
     published('fig5/start') w l lc rgb 'black' lw 1 dt (2,3) t 'published start, 1.65'
unset label 100; unset ylabel
set lmargin at screen 0.68; set rmargin at screen 0.985
set xlabel 'first iterations'; set xrange [0.5:10.5]; set xtics 1,3; set yrange [0.1:*]; set logscale y
set key top right samplen 1.6
plot b.'wbcsnet2-glorot.dat' u 1:2:3:4 w yerrorlines ls 3 lw 1 ps 0.9 t 'Glorot', b.'wbcsnet2.dat' u 1:2:3:4 w yerrorlines ls 1 lw 1.4 ps 1 t '$N(0, 0.01)$', \
     published('fig5/start') w l lc rgb 'black' lw 1 dt (2,3) notitle
unset multiplot
