# style.gp: the house style of all figures. A figure is called with results and record (folders), whose (the runs' in results), stamp (scale and kind of cells) and out.
# Colours are those of Okabe and Ito, told apart by the colour-blind; each series has its own dashes and marker as well, for print in grey.
blue = '#0072B2'; vermillion = '#D55E00'; green = '#009E73'; orange = '#E69F00'; grey = '#777777'; faint = '#d9d9d9'

# WBCsNet-2 is blue and round, WBCsNet vermillion and square; what the paper prints is black and open.
set style line 1 lc rgb blue       lw 2.2 dt solid    pt 7 ps 1.5
set style line 2 lc rgb vermillion lw 2.2 dt (9,4)    pt 5 ps 1.3
set style line 3 lc rgb green      lw 2.2 dt (3,3)    pt 9 ps 1.5
set style line 4 lc rgb orange     lw 2.2 dt (12,3,3,3) pt 11 ps 1.5
set style line 8 lc rgb 'black'    lw 1.6 dt solid    pt 6 ps 1.5
set style line 9 lc rgb faint      lw 0.8 dt solid

set border 3 lw 1 lc rgb '#444444'
set tics out nomirror scale 0.6 
set grid ls 9
set key top left Left reverse samplen 2.2 spacing 1.15 noautotitle
set datafile commentschars '#'

# Begin a figure of that width and height in cm; the stamp stands at the foot of every one.
begin(w, h) = sprintf("set terminal tikz size %gcm,%gcm font '\\footnotesize' textscale 1; set output '%s'", w, h, out)
set label 100 '\textcolor{gray}{\scriptsize '.stamp.'}' at screen 1,screen 0 right offset 0,0.5

# A number that the paper prints, by its id in experiments/published.csv.
published(id) = real(system("awk -F, -v id='".id."' '$1 == id { print $4 }' experiments/published.csv"))
# The labels of an arms.dat (experiments/arms), or of a "< command" that prints such lines, as tics at their places, for set ytics.
from(file) = file[1:2] eq '< ' ? file[3:*] : 'cat '.file
labels(file) = system(from(file)." | awk -v q=\\' '!/^#/ { l = $0; sub(/^[^\"]*\"/, \"\", l); sub(/\"[^\"]*$/, \"\", l); gsub(/%/, \"%%\", l); printf \"%s%s%s%s %d\", (n++ ? \",\" : \"\"), q, l, q, $1 }'")
# Is that file there? The record (a folder like results, or '') may be a part, or left out.
there(file) = int(system("[ -s '".file."' ] && echo 1 || echo 0"))
# In a report of the record's own runs the record stands alone: a panel of its own for them would show the same.
if (!exists('whose')) whose = ''
alone = whose eq 'the record'
# A panel of a multiplot between two edges of the screen, with a word above it.
panel(a, b, word) = sprintf("set lmargin at screen %g; set rmargin at screen %g; set title '{\\footnotesize\\itshape %s}' offset 0,-0.6", a, b, word)
# One point, to plot numbers that come from no file.
$one << END
1
END
