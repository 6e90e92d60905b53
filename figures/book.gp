# book.gp: more of the book's plots, from what tools/sketches and tools/made left: one gnuplot for all. Called with results (the work folder) and made (where
# data is and plots go: NAME.plot, without its date NAME.tex).
stamp = ''; out = ''
start(name, w, h) = sprintf("unset multiplot; reset; out = '%s/%s.plot'; load 'figures/style.gp'; unset label 100; eval begin(%g, %g)", results, name, w, h)
rows = "set border 1; set grid noytics xtics; set ytics scale 0"
classes = 'neutrophils eosinophils basophils lymphocytes monocytes'
colour(i) = word(blue.' '.vermillion.' '.'black '.green.' '.orange, i)
shape(i) = int(word('7 5 2 9 13', i))

eval start('shares', 14, 5.4)
set multiplot layout 1,2
eval rows; set style fill solid 0.85; set boxwidth 0.6; set yrange [-0.6:6.6]; set xrange [0:100]; unset key
set xlabel 'weights (\%)'
plot made.'/shares.dat' u ($2/2):0:($2/2):(0.3):ytic(4) w boxxyerror lc rgb blue
set xlabel 'work of one answer (\%)'
plot made.'/shares.dat' u ($3/2):0:($3/2):(0.3):ytic(4) w boxxyerror lc rgb vermillion

eval start('differences', 13, 6.4)
set logscale xy; set format '$10^{%T}$'; set xlabel 'step $h$'; set ylabel 'relative error'; set key bottom right; set xrange [1e-13:1]; set yrange [1e-13:10]
plot made.'/differences.dat' u 1:2 w l ls 1 t 'double precision', made.'/differences.dat' u 1:3 w l ls 2 t 'single precision'

eval start('unit', 14, 5)
set multiplot layout 1,3
unset key; set border 1; unset ytics; set grid noytics; set xrange [-12:12]; set xtics 6; set yrange [0:*]; set style fill solid 0.85
titles = '"convolution" "batch norm" "ReLU"'
do for [i=0:2] { set xlabel word(titles, i + 1); plot made.'/unit.dat' index i u 1:2 w boxes lc rgb blue }

eval start('curves-of-units', 14, 5.4)
set multiplot layout 1,2
set xrange [-3:3]; set yrange [-1.9:3]; set xlabel '$x$'; set key top left
plot (x > 0 ? x : 0) w l ls 1 t 'ReLU', 1.7159*tanh(2.0/3*x) w l ls 2 t '$1.7159\tanh\frac23x$'
set xrange [0:1]; set yrange [-1.05:5]; set xlabel 'share $p$ that the true class is given'; set key top right
plot -log(x) w l ls 1 t 'loss, $-\ln p$', x-1 w l ls 2 t 'its gradient, $p-1$'

eval start('pairs', 7, 6.6)
set xrange [-0.035:0.035]; set yrange [-0.035:0.035]; set xtics 0.02; set ytics 0.02; unset key; set xlabel 'a weight'; set ylabel 'the next'
plot made.'/pairs.dat' u 1:2 w p pt 7 ps 0.25 lc rgb blue

eval start('descent', 14, 5.6)
set xrange [-9.5:1.5]; set yrange [-1.9:1.9]; set xlabel '$w_1$'; set ylabel '$w_2$'; set key top right; set parametric; set trange [0:2*pi]; set samples 60
plot for [r=1:9:2] r*cos(t),r/sqrt(20.0)*sin(t) w l lc rgb faint lw 1 notitle, made.'/descent-plain.dat' u 1:2 w lp lc rgb vermillion lw 1.2 pt 5 ps 0.35 t 'plain', \
  made.'/descent-momentum.dat' u 1:2 w lp lc rgb blue lw 1.6 pt 7 ps 0.4 t 'with momentum'
unset parametric

eval start('recall', 14, 5.4)
set multiplot layout 1,2
eval rows; set xrange [50:100]; set yrange [4.6:-0.6]; unset key; set xlabel 'recall (\%)'
plot made.'/recall.dat' u 2:1:3:4:ytic(8) w xerrorbars ls 1
set xlabel 'precision (\%)'
plot made.'/recall.dat' u 5:1:6:7:ytic(8) w xerrorbars ls 2

eval start('bootstrap', 13, 5.4)
set border 1; unset ytics; set grid noytics; set style fill solid; set boxwidth 0.3; set xlabel 'accuracy of a draw (\%)'; set key top left
plot made.'/bootstrap.dat' u 1:($3 == 1 ? $2 : NaN) w boxes lc rgb blue t 'the middle 95\,\%', made.'/bootstrap.dat' u 1:($3 == 0 ? $2 : NaN) w boxes lc rgb orange t 'the rest'

eval start('mcnemar', 13, 5.4)
set border 1; unset ytics; set grid noytics; set style fill solid; set boxwidth 0.9; set xlabel 'heads of $b+c$ fair coins'; set key tmargin center horizontal; set xrange [-1:*]
plot made.'/mcnemar.dat' u 1:($3 == 0 ? $2 : NaN) w boxes lc rgb faint t 'less far from the middle', made.'/mcnemar.dat' u 1:($3 == 1 ? $2 : NaN) w boxes lc rgb vermillion notitle, \
  made.'/mcnemar.dat' u 1:($3 == 1 ? 0 : NaN) w p ls 2 t 'as far as was found, or farther'

eval start('nuclei', 13, 6.6)
set xlabel 'cell (pixels)'; set ylabel 'nucleus (pixels)'; set key outside right; set xrange [300:2600]; set yrange [0:1500]
plot for [i=1:5] made.'/nuclei.dat' index i-1 u 1:2 w p pt shape(i) ps 0.7 lc rgb colour(i) t word(classes, i)

eval start('measures', 15, 6)
set multiplot layout 1,2
eval panel(0.08, 0.38, ''); set xlabel 'nucleus to cell'; set ylabel 'solidity of the nucleus'; unset key
plot for [i=1:5] made.'/measures.dat' index i-1 u 1:2 w p pt shape(i) ps 0.5 lc rgb colour(i) t word(classes, i)
eval panel(0.48, 0.78, ''); set xlabel 'red share of the cytoplasm'; set ylabel 'its contrast'; set key outside right samplen 1
plot for [i=1:5] made.'/measures.dat' index i-1 u 3:4 w p pt shape(i) ps 0.5 lc rgb colour(i) t word(classes, i)

eval start('otsu', 13, 5.4)
set border 1; unset ytics; set grid noytics; set style fill solid 0.85; set xlabel '$u = d_R/2 + d_G - d_B$'; set key top right; set yrange [0:1.05]
plot made.'/otsu.dat' u 1:2 w boxes lc rgb faint t 'pixels', made.'/otsu.dat' u 1:3 w l ls 1 t '$\sigma_B^2$ of a cut there'

eval start('colours', 13, 6.4)
set xlabel 'mean red of a cell'; set ylabel 'mean blue'; set key outside right
plot made.'/colours.dat' index 0 u 1:3 w p pt 7 ps 0.7 lc rgb blue t 'Wright', made.'/colours.dat' index 2 u 1:3 w p pt 5 ps 0.7 lc rgb vermillion t 'Giemsa', \
  made.'/colours.dat' index 1 u 1:3 w p pt 9 ps 0.8 lc rgb green t 'May-Gr\"unwald'

eval start('strange', 13, 5.6)
eval rows; set xrange [20:100]; set yrange [6.6:0.4]; unset key; set xlabel 'cells right (\%)'
plot made.'/strange.dat' u 2:1:3:4:ytic(5) w xerrorbars ls 1

eval start('penalty', 13, 5.6)
set logscale x; set xlabel 'penalty $\lambda$'; set ylabel 'held-out cells right (\%)'; set format x '$10^{%T}$'; set yrange [45:95]; unset key; set xrange [5e-4:200]
plot made.'/penalty.dat' u 1:2:3:4 w yerrorbars ls 1, made.'/penalty.dat' u 1:2 w l ls 1

# What a net said of cells, from a folder's confusion.dat and reliability.dat: whom it takes for whom, and how often it is right over how sure it is.
short(s) = s[1:1] eq 'n' ? 'Neu' : s[1:1] eq 'e' ? 'Eos' : s[1:1] eq 'b' ? 'Bas' : s[1:1] eq 'l' ? 'Lym' : 'Mon'
answers = "set multiplot layout 1,2; unset key; set border 0; unset grid; set xrange [-0.5:4.5]; set yrange [4.5:-0.5]; set cbrange [0:1]; \
  set palette defined (0 'white', 1 '#0072B2'); unset colorbox; set tics scale 0; set xlabel 'taken for'; set style fill solid; \
  plot folder.'/confusion.dat' u 2:1:(0.49):(0.49):4:xticlabel(short(strcol(6))):yticlabel(short(strcol(5))) w boxxyerror lc palette, '' u 2:1:3:($4 > 0.6 ? 0xffffff : 0x000000) w labels tc rgb variable; \
  set border 3; set grid ls 9; set xrange [0:1]; set yrange [0:1]; set xtics autofreq scale 0.6; set ytics autofreq scale 0.6; set xlabel 'how sure'; set ylabel 'share that is right' offset -1,0; \
  plot x w l lc rgb '#777777' dt 2 lw 1, folder.'/reliability.dat' u 4:5:6:7 w yerrorbars lc rgb '#0072B2' lw 2 pt 7 ps 0.8"
eval start('confusion', 13, 6.6); folder = made; eval answers
eval start('away', 13, 6.6); folder = results.'/elsewhere'; eval answers

eval start('roofline', 13, 6.4)
set logscale xy; set xrange [0.1:1500]; set yrange [1:250]; set xlabel 'operations a byte'; set ylabel 'GFLOP/s'; set key bottom right
set label 1 'norms, sums, pools' at 0.4,4 left; set label 2 'fc1' at 15,70 center; set label 3 'conv1a' at 36,70 center; set label 4 'conv1b, conv2, conv3' at 520,70 center
plot (x*20 < 100 ? x*20 : 100) w l ls 8 t '20 GB/s, then 100 GFLOP/s', made.'/roofline.dat' u 1:2 w p ls 1 notitle

eval start('units', 13, 5.6)
eval rows; set logscale x; set xrange [8:3000]; set yrange [-0.5:4.5]; set key outside right; set xlabel 'microseconds of a step, forward and back'
plot made.'/units.dat' u 2:1:ytic(5) w p ls 1 t 'fp32', '' u 3:1 w p ls 2 t 'tf32', '' u 4:1 w p ls 3 t 'bf16'

eval start('passes', 13, 6)
eval rows; set xrange [0:300]; set yrange [-0.6:7.6]; set style fill solid 0.85; set xlabel 'megabytes of a step in fp32, batches of 32'; set key bottom right
plot made.'/passes.dat' u ($2/2):0:($2/2):(0.3) w boxxyerror lc rgb faint t 'forward and back', made.'/passes.dat' u ($1/2):0:($1/2):(0.3):ytic(3) w boxxyerror lc rgb blue t 'forward'

eval start('tanh', 13, 5.8)
set logscale y; set format y '$10^{%T}$'; set xlabel '$u$'; set ylabel 'relative error'; set yrange [1e-9:1e-4]; set key top left
plot made.'/tanh.dat' u 1:2 w l ls 1 t "Taylor's polynomial", made.'/tanh.dat' u 1:3 w l ls 2 t '$(1-e)/(1+e)$', 6e-8 w l ls 8 t 'half a unit of the last place'

eval start('alike', 13, 5.4)
set border 1; set xrange [0:1]; set yrange [0:*]; set grid noytics; set style fill solid 0.6; set boxwidth 0.046; set xlabel 'correlation $r$'; set ylabel 'pairs (\%)'; set border 3; set key top left
plot made.'/alike.dat' u 1:2 w boxes lc rgb blue t 'two cells of one class', made.'/alike.dat' u 1:3 w boxes lc rgb orange t 'one cell, photographed twice'

eval start('transforms', 13, 5.6)
set xrange [0.5:8.5]; set yrange [0:26]; set xlabel 'outputs of a tile along a side, $m$'; set ylabel 'multiplications an output'; set samples 8; set key top right
cost(m, r) = ((m + r - 1) / m)**2
plot '+' u (int($0)+1):(cost($0+1, 5.0)) w lp ls 1 t '$5\times5$ taps', '+' u (int($0)+1):(cost($0+1, 3.0)) w lp ls 2 t '$3\times3$ taps'
unset output
