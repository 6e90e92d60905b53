# evaluation.gp: what wbcsnet evaluate --out FOLDER found, as one picture: the confusion matrix, and how often the nets are right over how sure they are.
#   gnuplot -c figures/evaluation.gp FOLDER picture.svg
if (ARGC != 2) { print 'usage: gnuplot -c figures/evaluation.gp FOLDER PICTURE.svg'; exit status 2 }
matrix = ARG1.'/confusion.dat'
bins = ARG1.'/reliability.dat'
set terminal svg size 900,400 font 'sans,13' background 'white'
set output ARG2
stats matrix using 1 nooutput
last = STATS_max
stats bins using 3 nooutput
cells = STATS_sum
set multiplot layout 1,2

# Rows are what a cell is, columns what it was taken for; the shade is the share of its row, the number counts cells.
set xrange [-0.5:last + 0.5]
set yrange [last + 0.5:-0.5]
set cbrange [0:1]
set palette defined (0 'white', 1 '#0072B2')
unset colorbox
set tics scale 0
set xtics rotate by -35
set xlabel 'recognised as'
set ylabel 'true class'
plot matrix using 2:1:4:xticlabel(6):yticlabel(5) with image notitle, \
     matrix using 2:1:3:($4 > 0.6 ? 0xffffff : 0x000000) with labels textcolor rgb variable notitle

# On the diagonal a net is as sure as it may be; below it, too sure. Grey bars: the share of all cells in a bin.
set xrange [0:1]
set yrange [0:1]
set xtics norotate autofreq scale 0.6
set ytics autofreq scale 0.6
set xlabel 'confidence'
set ylabel 'share that is right'
set style fill solid
plot bins using (($1 + $2) / 2):($3 / cells):(0.09) with boxes lc rgb '#d9d9d9' notitle, \
     x with lines lc rgb '#777777' dt 2 notitle, \
     bins using 4:5:6:7 with yerrorbars lc rgb '#0072B2' lw 2 pt 7 ps 0.8 notitle
unset multiplot
