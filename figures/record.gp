# record.gp: Fig. 6 of the record, for a README: accuracy on Dataset1 of the systems that have run, beside what is published. A line an arm: place from
# above, arm, accuracy, its interval, the published value or NaN, "label".
#   gnuplot -c figures/record.gp arms.dat picture.svg 'WHAT STANDS AT THE FOOT'
if (ARGC != 3) { print "usage: gnuplot -c figures/record.gp ARMS.dat PICTURE.svg FOOT"; exit status 2 }
arms = ARG1
stats arms u 1 nooutput
n = STATS_max
set terminal svg size 760,(150 + 40 * n) font 'sans,13' background 'white'
set output ARG2
set border 1 lc rgb '#444444'; set grid xtics lc rgb '#d9d9d9' lw 0.8; set ytics scale 0; set xtics out nomirror scale 0.6
set yrange [0.4:n + 0.6]; set offsets graph 0.04, graph 0.04, 0, 0; set autoscale xfix
set lmargin at screen 0.30; set rmargin at screen 0.97; set tmargin 3; set bmargin 4.5
set key at graph 0, graph 1 left bottom vertical maxrows 2 Left reverse samplen 1.5
set xlabel 'cells of Dataset1 named rightly (%), with 95 % intervals'
set label 1 ARG3 at screen 0.02, screen 0.06 left tc rgb '#777777'
is(net) = strcol(2) eq net
plot arms u 3:1:ytic(7) w p pt -1 notitle, \
     arms u 3:(is('wbcsnet2') ? $1 : NaN):4:5 w xerrorbars lc rgb '#0072B2' lw 2.2 pt 7 ps 1 notitle, \
     arms u 3:(is('wbcsnet') ? $1 : NaN):4:5 w xerrorbars lc rgb '#D55E00' lw 2.2 pt 5 ps 0.9 notitle, \
     arms u 3:(is('wbcsnet2') || is('wbcsnet') ? NaN : $1):4:5 w xerrorbars lc rgb '#009E73' lw 2.2 pt 9 ps 1 notitle, \
     arms u 6:($1 + 0.22) w p lc rgb 'black' lw 1.6 pt 6 ps 1 t 'published', \
     NaN w p lc rgb '#0072B2' pt 7 ps 1 t 'the record, on real cells that stand for the paper''s'
