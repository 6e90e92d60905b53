# Fig. 8: accuracy on Dataset2, each net begun from its Dataset1 weights, with those weights frozen, and from nothing, with Wilson's 95 %
# intervals. Left what is published and the record, right this machine's own runs (or those of an archive), apart.
load 'figures/style.gp'
ours = results.'/transfer/scores.dat'; full = record.'/transfer/scores.dat'
eval begin(14.4, 7.0)
set multiplot
set bmargin at screen 0.21; set tmargin at screen 0.91
set border 1; set ytics scale 0; set grid noytics; set yrange [0.5:6.6]; unset key
set ytics ('WBCsNet-2, pre-trained' 6, 'WBCsNet-2, frozen' 5, 'WBCsNet-2, from scratch' 4, 'WBCsNet, pre-trained' 3, 'WBCsNet, frozen' 2, 'WBCsNet, from scratch' 1)
set xlabel 'accuracy on Dataset2 (\%)' offset 0,0.3
set offsets graph 0.04, graph 0.04, 0, 0; set autoscale xfix
arm(file, name, y, ls) = sprintf("'%s' u (strcol(1) eq '%s' ? $2 : NaN):(%g):3:4 w xerrorbars %s", file, name, y, ls)
all(file) = arm(file, 'wbcsnet2-tuned', 5.87, 'ls 1').', '.arm(file, 'wbcsnet2-frozen', 5, 'ls 1 pt 6').', '.arm(file, 'wbcsnet2-scratch', 4, 'ls 1 pt 6').', '. \
  arm(file, 'wbcsnet-tuned', 2.87, 'ls 2 dt solid').', '.arm(file, 'wbcsnet-frozen', 2, 'ls 2 dt solid pt 4').', '.arm(file, 'wbcsnet-scratch', 1, 'ls 2 dt solid pt 4')
eval panel(0.26, alone ? 0.985 : 0.60, there(full) ? 'published (black), and the record' : 'published; the record has no such run yet')
eval "plot $one u (published('fig8/wbcsnet2')):(6.15) w p ls 8, $one u (published('fig8/wbcsnet2') - published('fig8/gain')):(3.15) w p ls 8".(there(full) ? ', '.all(full) : '')
if (!alone) {
  unset label 100; set ytics ('' 6, '' 5, '' 4, '' 3, '' 2, '' 1)
  eval panel(0.65, 0.985, whose)
  eval 'plot '.all(ours)
}
unset multiplot
