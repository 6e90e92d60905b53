# Fig. 7: mean sensitivity and specificity of both nets on Dataset1, with stratified bootstrap intervals, and what the paper prints.
load 'figures/style.gp'
eval begin(14.4, 6.2)
r = results.'/cv/scores.dat'
# what the paper's own Table 1 gives, as wbcsnet verdict computes it
derived(key) = real(system("sed -n 's|.result{published/".key."}{\\(.*\\)}|\\1|p' ".results."/verdict/verdict.tex"))
arm(name, y) = strcol(1) eq name ? y : NaN
set multiplot
set bmargin at screen 0.21; set tmargin at screen 0.90; set border 1; set ytics scale 0; set grid noytics; set yrange [0.5:2.5]
set lmargin at screen 0.12; set rmargin at screen 0.52
set ytics ('WBCsNet-2' 2, 'WBCsNet' 1); set xlabel 'mean sensitivity (\%)' offset 0,0.3
set key at screen 0.98, screen 0.995 right top horizontal samplen 1 maxrows 1
plot r u 5:(arm('wbcsnet2', 1.9)):6:7 w xerrorbars ls 1 t 'ours', r u 5:(arm('wbcsnet', 0.9)):6:7 w xerrorbars ls 2 dt solid t 'ours', \
     $one u (published('fig7/sensitivity')):(2.12) w p ls 8 t 'published, text', $one u (published('abstract/sensitivity')):(2.12) w p ls 8 pt 12 t 'published, abstract', \
     $one u (derived('recall')):(2.28) w p ls 8 pt 1 t 'from its Table 1'
unset label 100; unset key
set lmargin at screen 0.58; set rmargin at screen 0.98; set ytics ('' 2, '' 1); set xlabel 'mean specificity (\%)'
plot r u 8:(arm('wbcsnet2', 1.9)):9:10 w xerrorbars ls 1, r u 8:(arm('wbcsnet', 0.9)):9:10 w xerrorbars ls 2 dt solid, \
     $one u (derived('specificity')):(2.28) w p ls 8 pt 1
unset multiplot
