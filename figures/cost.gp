# What each system of Fig. 6 costs, beside its accuracy: operations, weights and time on one core, in the order of Fig. 6. Nets are those
# trained from nothing, in the sizes that were run; the pipeline has no count of operations that compares.
load 'figures/style.gp'
kept = "< awk '!/^#/ && $8 !~ /-tuned$/ { n++; line[n] = $0 } END { for (i = 1; i <= n; i++) { l = line[i]; sub(/^[0-9]+/, n + 1 - i, l); print l } }' ".arms
stats kept u 1 nooutput
n = STATS_max
stats kept u 3 name 'A' nooutput; stats kept u 4 name 'B' nooutput; w = B_max - A_min
h = 1.9 + 0.62 * n
eval begin(14.4, h)
foot = 1.25 / h; head = 1 - 0.25 / h
set multiplot
set bmargin at screen foot; set tmargin at screen head; set yrange [0.4:n + 0.6]; set border 1; set grid noytics xtics
set ytics scale 0
eval 'set ytics ('.labels(kept).')'
is(a, net) = strcol(8) eq net ? a : NaN
other(a) = strcol(8) eq 'wbcsnet2' || strcol(8) eq 'wbcsnet' ? NaN : a

set lmargin at screen 0.215; set rmargin at screen 0.41; set xlabel 'accuracy (\%)' offset 0,0.3; set xtics w > 60 ? 30 : w > 30 ? 20 : w > 16 ? 10 : w > 8 ? 4 : 2; set offsets graph 0.05, graph 0.05, 0, 0; set autoscale xfix
plot kept u 2:(other($1)):3:4 w xerrorbars ls 3 dt solid notitle, kept u 2:(is($1, 'wbcsnet')):3:4 w xerrorbars ls 2 dt solid notitle, \
     kept u 2:(is($1, 'wbcsnet2')):3:4 w xerrorbars ls 1 notitle
unset label 100; unset ytics; set logscale x; set format x '$10^{%T}$'; set offsets graph 0.08, graph 0.08, 0, 0
do for [i = 1:3] {
    column = int(word('5 6 10', i))
    set lmargin at screen 0.265 + 0.19 * i; set rmargin at screen 0.395 + 0.19 * i
    # each tic by its place: what a step means on a logarithmic axis is not the same in gnuplot 5 and 6
    set xtics (1); set for [p = -6:12:(i == 2 ? 2 : 1)] xtics add (10.0**p)
    set xlabel (i == 1 ? 'MFLOP a cell' : i == 2 ? 'weights' : 's a fold') offset 0,0.3
    plot kept u column:(other($1)) w p ls 3 notitle, kept u column:(is($1, 'wbcsnet')) w p ls 2 notitle, kept u column:(is($1, 'wbcsnet2')) w p ls 1 notitle
}
unset multiplot
