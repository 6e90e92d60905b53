# Fig. 4 and 5, which set: what (the y axis), seen and mean (columns of a curve), first (columns of a start), id (of the published start),
# from and to (the y axis), steps (settings of the first steps' panel). Left and middle the record beside what the paper prints, right this machine's own nets, apart.
load 'figures/style.gp'
# The record's nets trained on all cells, or, until there are such, those of its first fold.
r = there(record.'/scratch/curve-wbcsnet2.dat') ? record.'/scratch/curve-' : record.'/cv/curve-'
b = record.'/begin/start-'
both = there(r.'wbcsnet2.dat') && there(r.'wbcsnet.dat')
own = !alone && there(results.'/scratch/curve-wbcsnet2.dat') && there(results.'/scratch/curve-wbcsnet.dat')
starts = there(b.'wbcsnet2.dat') && there(b.'wbcsnet2-glorot.dat')
eval begin(14.4, 6.6)
set multiplot
set bmargin at screen 0.19; set tmargin at screen 0.90
set yrange [from:to]; set xrange [0:*]; set xlabel 'iteration' offset 0,0.4
# 2,400 batches on six centimetres: every third is enough for the eye, and a third of LaTeX's work.
thin(f) = 1 + int(system("wc -l <'".f."'")) / 800
curve(f, raw, ls) = sprintf("'%s' every %d u 1:%d w l lc rgb '%s' lw 0.5 notitle, '%s' every %d u 1:%d w l ls %d", f, thin(f), seen, raw, f, thin(f), mean, ls)
pair(s) = curve(s.'wbcsnet.dat', '#f3cdb3', 2)." t 'WBCsNet', ".curve(s.'wbcsnet2.dat', '#b5d3e7', 1)." t 'WBCsNet-2'"
start(f, ls) = sprintf("'%s' u 1:%d:%d:%d w yerrorlines ls %d lw 1 ps 0.9", f, first, first + 1, first + 2, ls)
printed = 'published(id) w l lc rgb "black" lw 1 dt (2,3)'
eval panel(0.095, own ? 0.36 : 0.53, both ? 'the record' : 'published'); set ylabel what offset -0.5,0
set key at graph 0.98, graph place right samplen 1.4
if (both) { eval 'plot '.pair(r).', '.printed." t 'published start'" } else { eval 'set xrange [0:2400]; plot '.printed." t 'published start'" }
unset label 100; unset ylabel
if (starts) {
  eval panel(own ? 0.42 : 0.62, own ? 0.63 : 0.985, 'the record, first steps'); set xlabel 'iteration' offset 0,0.4; set xrange [0.5:10.5]; set xtics 1,3; eval steps
  eval 'plot '.start(b.'wbcsnet2-glorot.dat', 3)." t 'Glorot', ".start(b.'wbcsnet2.dat', 1)." t '$N(0, 0.01)$', ".printed." notitle"
}
if (own) {
  eval panel(0.72, 0.985, whose); set xrange [0:*]; set xtics autofreq; unset logscale y; set yrange [from:to]; set ytics autofreq
  eval 'plot '.pair(results.'/scratch/curve-')
}
unset multiplot
