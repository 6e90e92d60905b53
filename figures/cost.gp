# What a system of Fig. 6 costs against what it gives: accuracy with Wilson's 95 % intervals against the work of a cell and against the
# number of weights. Nets from nothing, as they were run; the pipeline has no work that compares.
load 'figures/style.gp'
eval begin(14.4, 7.2)
drawn = "< awk '!/^#/ && $8 !~ /-tuned$/' ".arms
set multiplot
set bmargin at screen 0.19; set tmargin at screen 0.97; set logscale x; set offsets graph 0.06, graph 0.22, graph 0.1, graph 0.06
set format x '$10^{%T}$'
set lmargin at screen 0.09; set rmargin at screen 0.51
set ylabel 'accuracy (\%)' offset 1.2,0; set xlabel 'MFLOP a cell, forward' offset 0,0.3
name(c) = '\scriptsize '.c
other(a) = a ne 'wbcsnet2' && a ne 'wbcsnet'
plot drawn u ($5 > 0 && other(strcol(8)) ? $5 : NaN):2:3:4 w yerrorbars ls 3 dt solid notitle, \
     drawn u (strcol(8) eq 'wbcsnet' ? $5 : NaN):2:3:4 w yerrorbars ls 2 dt solid notitle, \
     drawn u (strcol(8) eq 'wbcsnet2' ? $5 : NaN):2:3:4 w yerrorbars ls 1 notitle, \
     drawn u ($5 > 0 ? $5 : NaN):2:(name(strcol(9))) w labels left offset 0.8,0.5 notitle
set lmargin at screen 0.57; set rmargin at screen 0.99; unset ylabel; unset label 100; set xlabel 'weights' offset 0,0.3
plot drawn u (other(strcol(8)) ? $6 : NaN):2:3:4 w yerrorbars ls 3 dt solid notitle, \
     drawn u (strcol(8) eq 'wbcsnet' ? $6 : NaN):2:3:4 w yerrorbars ls 2 dt solid notitle, \
     drawn u (strcol(8) eq 'wbcsnet2' ? $6 : NaN):2:3:4 w yerrorbars ls 1 notitle, \
     drawn u 6:2:(name(strcol(9))) w labels left offset 0.8,0.5 notitle
unset multiplot
