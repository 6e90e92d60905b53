# Fig. 7: mean sensitivity and specificity of both nets on Dataset1, with stratified bootstrap intervals, and what the paper prints.
load 'figures/style.gp'
eval begin(14.4, 6.2)
r = results.'/cv/scores.dat'
# what the paper's own Table 1 gives, as wbcsnet verdict computes it
derived(key) = real(system("awk -v k='".key."' '$1 == k { print $2 }' ".results."/verdict/published.dat"))
arm(name, y) = strcol(1) eq name ? y : NaN
# as few tics as the range needs
step(x) = x > 30 ? 10 : x > 12 ? 5 : x > 5 ? 2 : x > 2.4 ? 1 : x > 1 ? 0.5 : x > 0.5 ? 0.2 : 0.1
tics(a, b, x) = step((b > x ? b : x) - (a < x ? a : x))
stats r u 6 name 'A' nooutput; stats r u 7 name 'B' nooutput; stats r u 9 name 'C' nooutput; stats r u 10 name 'D' nooutput
set multiplot
set bmargin at screen 0.21; set tmargin at screen 0.97; set border 1; set ytics scale 0; set grid noytics; set yrange [0.55:2.6]
set lmargin at screen 0.12; set rmargin at screen 0.53; set offsets graph 0.06, graph 0.06, 0, 0; set autoscale xfix
set ytics ('WBCsNet-2' 2, 'WBCsNet' 1); set xlabel 'mean sensitivity (\%)' offset 0,0.3
mark(x, y, s) = sprintf("set label '{\\scriptsize %s}' at %f,%f center", s, x, y)
eval mark(published('fig7/sensitivity'), 2.01, 'text'); eval mark(published('abstract/sensitivity'), 2.29, 'abstract'); eval mark(derived('recall'), 2.52, 'its Table 1')
set xtics tics(A_min, B_max, published('fig7/sensitivity'))
plot r u 5:(arm('wbcsnet2', 1.8)):6:7 w xerrorbars ls 1, r u 5:(arm('wbcsnet', 1)):6:7 w xerrorbars ls 2 dt solid, \
     $one u (published('fig7/sensitivity')):(2.13) w p ls 8, $one u (published('abstract/sensitivity')):(2.13) w p ls 8, \
     $one u (derived('recall')):(2.38) w p ls 8 pt 12
unset label
set lmargin at screen 0.58; set rmargin at screen 0.985; set ytics ('' 2, '' 1); set xlabel 'mean specificity (\%)'
eval mark(derived('specificity'), 2.52, 'its Table 1')
set xtics tics(C_min, D_max, derived('specificity'))
plot r u 8:(arm('wbcsnet2', 1.8)):9:10 w xerrorbars ls 1, r u 8:(arm('wbcsnet', 1)):9:10 w xerrorbars ls 2 dt solid, \
     $one u (derived('specificity')):(2.38) w p ls 8 pt 12
unset multiplot
