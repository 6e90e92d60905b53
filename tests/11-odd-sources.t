#!/usr/bin/perl
# wbcsnet import from other people's folders: endings, links, places, small pictures.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use File::Path qw(make_path);
use Import;

my ($o, $code, $said);

# ---- endings tell nothing ----
my $odd = "$dir/endings";
cell("$odd/neu/a.jfif", 1), cell("$odd/neu/b.dib", 2), cell("$odd/neu/plain", 3), cell("$odd/neu/d.PNG", 4), cell("$odd/neu/scan.cell", 5), cell("$odd/eos/e.jpe", 6);
spit("$odd/neu/notes", "BMI of the patients: 21\n");
$o = out();
($code, $said) = run('import', '--size', 12, $odd, $o);
ok($code == 0 && counts($o) eq '5, 1, 0, 0, 0' && $said =~ /1 files that are not images/, 'an image is told by its content, whatever its name ends in') or diag $said;
is(join(' ', map { m{neutrophil/(.*)\.tif} ? $1 : () } rows($o)), 'a b d plain scan.cell', '... and keeps its name');
spit("$odd/neu/w.webp", "RIFF\x20\0\0\0WEBPVP8 " . 'x' x 24);
fails('a WebP', 3, qr/w\.webp: found WebP, which is not read.*hint: save it as PNG or TIFF/s, 'import', '--size', 12, $odd, out());
rename "$odd/neu/w.webp", "$odd/neu/w";
fails('a WebP by another name', 3, qr/neu\/w: found WebP/, 'import', '--size', 12, $odd, out());
$o = out();
($code, $said) = run('import', '--skip-bad', '--size', 12, $odd, $o);
ok($code == 0 && counts($o) eq '5, 1, 0, 0, 0' && $said =~ /1 images that cannot be read/, '--skip-bad leaves it out') or diag $said;

# ---- links ----
my $links = "$dir/links";
cell("$links/neu/$_.bmp", $_) for 1 .. 3;
cell("$links/eos/deep/4.bmp", 4);
symlink '.', "$links/neu/here";
symlink '../..', "$links/eos/deep/up";
symlink '../neu', "$links/eos/other";
unlink "$links/eos/other";
$o = out();
($code, $said) = run('import', '--size', 12, $links, $o);
ok($code == 0 && counts($o) eq '3, 1, 0, 0, 0', 'links that lead back are not followed') or diag $said;
my @back = $said =~ /warning: (\S+): a link to a folder that holds it/g;
is(join(' ', map { s{.*/links/}{}r } @back), 'eos/deep/up neu/here', '... and said');
make_path("$dir/a"), cell("$dir/ring/neu/1.bmp", 1), cell("$dir/ring/eos/2.bmp", 2);
make_path("$dir/ring2");
symlink "$dir/ring2", "$dir/ring/neu/to";
symlink "$dir/ring/neu", "$dir/ring2/back";
$o = out(), run('import', '--size', 12, "$dir/ring", $o);
is(counts($o), '1, 1, 0, 0, 0', 'a ring of two links');
make_path("$dir/self"), symlink('.', "$dir/self/x");
fails('a folder that holds itself alone', 3, qr/class 'x'/, 'import', "$dir/self", out());

# ---- the place ----
my $place = "$dir/place";
cell("$place/neu/1.bmp", 1), cell("$place/eos/2.bmp", 2);
for my $within ("$place/set", "$place/neu/deeper/set", "$dir/elsewhere/../place/set") {
    make_path("$dir/elsewhere");
    fails("OUT at $within", 2, qr/found a place within .*place; expected a place outside of it.*the next import/s, 'import', '--size', 12, $place, $within);
}
is((run('import', '--size', 12, $place, "$place-set"))[0], 0, 'beside it, with a name that begins alike');
spit("$place/labels.csv", "file,class\nneu/1.bmp,neu\neos/2.bmp,eo\n");
is((run('import', '--size', 12, $place, "$place/set"))[0], 0, 'a table says which cells, so OUT may lie anywhere');

# ---- windows and sizes ----
my $small = "$dir/small";
bmp("$small/neu/1.bmp", 10, 14, sub { my ($y, $x) = @_; ($y * 10, $x * 10, 7) });
cell("$small/eos/2.bmp", 2, 20);
fails('a window larger than the image', 3, qr/14 x 10, smaller than the window of 20.*--pad edge/s, 'import', '--crop', 20, '--size', 20, $small, out());
fails('another way to pad', 2, qr/--pad: found 'zero'; expected edge/, 'import', '--pad', 'zero', '--crop', 20, $small, out());
$o = out();
($code, $said) = run('import', '--pad', 'edge', '--crop', 20, '--size', 20, $small, $o);
is($code, 0, '--pad edge') or diag $said;
my @corner = map { pixel("$o/neutrophil/1.tif", 20, @$_) } [0, 0], [5, 3], [9, 12], [19, 19], [0, 10];
is("@corner", '0 0 7 0 0 7 40 90 7 90 130 7 0 70 7', '... repeats the border around the picture in the middle');
is(pixel("$o/eosinophil/2.tif", 20, 7, 9), '41 61 65', '... and leaves a picture that is large enough as it is');
$o = out();
$said = (run('import', '--size', 70, $small, $o))[1];
like($said, qr/2 cells were enlarged more than twice \(the smallest from 10 to 70 pixels\)/, 'cells that were much smaller are told');
unlike((run('import', '--size', 20, $small, out()))[1], qr/enlarged/, '... and others not');

# ---- tables of other programs ----
my $table = "$dir/table";
cell("$table/pics/$_.bmp", ord $_) for 'a' .. 'e';
my @class = qw(neu eo ba lym mono);
my @line = map { [ "pics/$_.bmp", shift @class ] } 'a' .. 'e';
sub wide { my ($big, $text) = @_; join '', map { $big ? pack 'n', $_ : pack 'v', $_ } 0xfeff, map { my $c = ord; $c < 65536 ? $c : (0xd800 + ($c - 65536 >> 10), 0xdc00 + ($c - 65536 & 1023)) } split //, $text }
my $n = 0;
sub table { my ($text) = @_; my $path = "$table/t" . ++$n . '.csv'; spit($path, $text); return $path }
sub reads {
    my ($what, $text) = @_;
    my $set = out();
    my ($code, $said) = run('import', '--csv', table($text), '--size', 12, $table, $set);
    ok($code == 0 && counts($set) eq '1, 1, 1, 1, 1', $what) or diag "$code $said";
    return $set;
}
sub lines { my ($between, @more) = @_; join '', map { join($between, @$_, @more) . "\n" } @line }
reads('an unnamed first column, as pandas writes', ",file,class\n" . join '', map { "$_," . join(',', @{$line[$_]}) . "\n" } 0 .. 4);
reads('semicolons', "file;class\n" . lines(';'));
my $kept = reads('... with commas within', "file;class;group\n" . lines(';', 'slide 1, left'));
is((split /"/, (rows($kept))[0])[1], 'slide 1, left', '... which stay');
reads('tabs', "file\tclass\n" . lines("\t"));
reads('blanks about the names', "file , class\n" . lines(','));
reads('UTF-16, as Windows writes', wide(0, "file\tclass\r\n" . lines("\t")));
reads('UTF-16, the other order', wide(1, "file,class\n" . lines(',')));
$kept = reads('UTF-16 with letters of two, three and four bytes', wide(0, "file,class,group\n" . lines(',', "\x{e9}\x{20ac}\x{1f52c}")));
is((split /,/, (rows($kept))[0])[2], "\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\xac", '... which become UTF-8');
reads('filename,label', "filename,label\n" . lines(','));
reads('Image_Path,Category, beside an index', ",Category,Image_Path\n" . join '', map { "$_,$line[$_][1],$line[$_][0]\n" } 0 .. 4);
reads('names of ours go before others', "file,class,filename,label\n" . lines(',', 'x', 'y'));
reads('a column that nobody asks for, twice', "x,file,class,x\n" . join '', map { '1,' . join(',', @$_) . ",2\n" } @line);
fails('the class twice', 3, qr/columns 2 and 3 both named 'class'.*rename the other/s, 'import', '--csv', table("file,class,class\n" . lines(',', 'neu')), $table, out());
fails('two names that may be the file', 3, qr/columns 'filename' and 'path'; expected a column 'file'.*rename/s, 'import', '--csv', table("filename,class,path\n" . lines(',', 'x')), $table, out());
fails('no header', 3, qr/no header line/, 'import', '--csv', table("\npics/a.bmp\n"), $table, out());
fails('half a letter', 3, qr/half a letter/, 'import', '--csv', table(wide(0, "file,class\n") . 'x'), $table, out());
my $twice = out();
($code, $said) = run('import', '--csv', table("file,class\n" . lines(',') . "pics/a.bmp,neu\n"), '--size', 12, $table, $twice);
ok($code == 0 && counts($twice) eq '1, 1, 1, 1, 1' && $said =~ /listed twice/, 'the same row twice is one cell, and told') or diag $said;

# ---- names of other laboratories ----
my $lab = "$dir/lab";
cell("$lab/$_->[0]/1.bmp", $_->[1]) for ['NGS', 1], ['NGB', 2], ['EOS', 3], ['BAS', 4], ['LYT', 5], ['MON', 6], ['PMO', 7];
fails('all unknown classes at once, with the flags that mend it', 3,
      qr/classes 'LYT', 'NGB', 'NGS', 'PMO'; expected neutrophil, .*hint: --map LYT=CLASS,NGB=CLASS,NGS=CLASS,PMO=CLASS, with one.*--skip-classes LYT,NGB,NGS,PMO/s, 'import', '--size', 12, $lab, out());
$o = out();
my @map = ('--map', 'LYT=lymphocyte,NGS=neutrophil, NGB = neu');
($code, $said) = run('import', @map, '--skip-classes', 'PMO', '--size', 12, $lab, $o);
ok($code == 0 && counts($o) eq '2, 1, 1, 1, 1' && $said =~ /1 folders, rows or boxes of other classes/, '--map: two words may mean one class, a class may go by its alias') or diag $said;
my $kept_labels = slurp("$o/labels.csv");
spit("$dir/map.txt", "\xef\xbb\xbf# Munich's names\r\nNGS = neutrophil\r\nNGB=neutrophil  # bands\r\n\r\nLYT=lymphocyte\r\n");
$o = out();
($code, $said) = run('import', '--map', "$dir/map.txt", '--skip-classes', 'PMO', '--size', 12, $lab, $o);
ok($code == 0 && slurp("$o/labels.csv") eq $kept_labels, '... or stand in a file') or diag $said;
cell("$dir/digits/$_/a.bmp", $_) for 1, 2, 12;
my ($digits, $unsaid) = run('import', '--classes', '1,11', "$dir/digits", out());
ok($digits == 3 && $unsaid =~ /classes '12', '2'/ && $unsaid !~ /did you mean/ && $unsaid =~ /--map 12=CLASS,2=CLASS/, 'no number is proposed for another') or diag $unsaid;
fails('a map to no class', 2, qr/--map: found 'limphocyte' for 'LYT'; expected neutrophil, .*did you mean lymphocyte/s, 'import', '--map', 'LYT=limphocyte', $lab, out());
fails('a map without =', 2, qr/map2\.txt:2: found 'NGS neutrophil'; expected WORD=CLASS/, 'import', '--map', do { spit("$dir/map2.txt", "LYT=lym\nNGS neutrophil\n"); "$dir/map2.txt" }, $lab, out());
fails('a map that is no file', 3, qr/map3\.txt: found No such file.*WORD=CLASS,\.\.\. or a file/s, 'import', '--map', "$dir/map3.txt", $lab, out());
fails('a word mapped twice', 2, qr/'LYT' twice/, 'import', '--map', 'LYT=lym,LYT=neu', $lab, out());
$said = (run('import', @map, '--map', 'NGS=neu,NGB=neu,LYT=lym,XYZ=neu', '--skip-classes', 'PMO', '--size', 12, $lab, out()))[1];
like($said, qr/warning: --map: 'XYZ' is the class of no cell/, 'a word that nothing has is told');
fails('numbers for classes', 3, qr/t\d+\.csv:2: found classes '0' \(2 times\), '1'; .*--map 0=CLASS,1=CLASS/s, 'import', '--csv', table("file,class\npics/a.bmp,0\npics/b.bmp,1\npics/c.bmp,0\n"), $table, out());
$o = out();
run('import', '--map', '0=basophil,1=eosinophil', '--csv', table("file,label\npics/a.bmp,0\npics/b.bmp,1\npics/c.bmp,0\n"), '--size', 12, $table, $o);
is(counts($o), '0, 1, 2, 0, 0', '--map: numbers mean classes');
fails('a word that a shell would part', 3, qr/--map 'band cell=CLASS'/, 'import', '--csv', table("file,class\npics/a.bmp,band cell\n"), $table, out());

# ---- fewer than five classes ----
my $four = "$dir/four";
cell("$four/$_->[0]/1.bmp", $_->[1]) for ['NEU', 1], ['Eos', 3], ['LYM', 5], ['MON', 6];
$said = (run('import', '--size', 12, $four, out()))[1];
my ($classes) = $said =~ /4 of 5 classes have cells, .*--classes (\S+) makes/;
is($classes, 'neutrophil,eosinophil,lymphocyte,monocyte', 'a set of four classes is told, with the way out') or diag $said;
$o = out();
($code, $said) = run('import', '--classes', $classes // '', '--size', 12, $four, $o);
ok($code == 0 && counts($o) eq '1, 1, 1, 1' && $said !~ /classes have cells/, '... which understands the same names of folders') or diag $said;

done_testing;
