# Fig. 7: mean sensitivity and specificity of both nets on Dataset1, with stratified bootstrap intervals. Above what the paper prints and
# the record, below this machine's own runs (or those of an archive), apart.
load 'figures/style.gp'
ours = results.'/cv/scores.dat'; full = record.'/cv/scores.dat'
# what the paper's own Table 1 gives, as wbcsnet verdict computes it
derived(key) = real(system("awk -v k='".key."' '$1 == k { print $2 }' ".results."/verdict/published.dat"))
# as few tics as the range needs
step(x) = x > 30 ? 10 : x > 12 ? 5 : x > 5 ? 2 : x > 2.4 ? 1 : x > 1 ? 0.5 : x > 0.5 ? 0.2 : 0.1
both(file, c) = sprintf("'%s' u (strcol(1) eq 'wbcsnet2' ? $%d : NaN):(1.7):%d:%d w xerrorbars ls 1, '%s' u (strcol(1) eq 'wbcsnet' ? $%d : NaN):(1):%d:%d w xerrorbars ls 2 dt solid", file, c, c + 1, c + 2, file, c, c + 1, c + 2)
ring(x, y, shape) = sprintf(", $one u (%g):(%g) w p ls 8 pt %d", x, y, shape)
mark(x, y, s, how) = sprintf("set label '{\\scriptsize %s}' at %f,%f %s", s, x, y, how)
stats ours u 6 name 'A' nooutput; stats ours u 7 name 'B' nooutput; stats ours u 9 name 'C' nooutput; stats ours u 10 name 'D' nooutput
eval begin(14.4, alone ? 5.2 : 9.0)
set multiplot
unset key; set border 1; set ytics scale 0; set grid noytics; set yrange [0.5:2.8]
set offsets graph 0.06, graph 0.06, 0, 0; set autoscale xfix
names = "set ytics ('WBCsNet-2' 1.7, 'WBCsNet' 1)"
set bmargin at screen alone ? 0.27 : 0.61; set tmargin at screen alone ? 0.90 : 0.94
if (alone) { set xlabel 'mean sensitivity (\%)' offset 0,0.3 }
above = there(full) ? 'published (open), and the record' : 'published'
eval panel(0.12, 0.53, above); eval names
eval mark(published('fig7/sensitivity'), 2.1, 'text', 'right offset -0.7,0'); eval mark(published('abstract/sensitivity'), 2.3, 'abstract', 'center'); eval mark(derived('recall'), 2.5, 'its Table 1', 'right offset -0.7,0')
eval 'plot '.(there(full) ? both(full, 5) : 'NaN').ring(published('fig7/sensitivity'), 2.1, 6).ring(published('abstract/sensitivity'), 2.1, 6).ring(derived('recall'), 2.5, 12)
unset label
if (alone) { set xlabel 'mean specificity (\%)'; unset label 100 }
eval panel(0.58, 0.985, above); set ytics ('' 1.7, '' 1)
eval mark(derived('specificity'), 2.5, 'its Table 1', 'right offset -0.7,0')
eval 'plot '.(there(full) ? both(full, 8) : 'NaN').ring(derived('specificity'), 2.5, 12)
unset label
if (!alone) {
set label 100 '\textcolor{gray}{\scriptsize '.stamp.'}' at screen 1,screen 0 right offset 0,0.5
set bmargin at screen 0.16; set tmargin at screen 0.46; set yrange [0.5:2.2]
eval panel(0.12, 0.53, whose); eval names; set xlabel 'mean sensitivity (\%)' offset 0,0.3
set xtics step(B_max - A_min)
eval 'plot '.both(ours, 5)
unset label 100
eval panel(0.58, 0.985, whose); set ytics ('' 1.7, '' 1); set xlabel 'mean specificity (\%)'; set xtics step(D_max - C_min)
eval 'plot '.both(ours, 8)
}
unset multiplot
