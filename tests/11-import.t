#!/usr/bin/perl
# wbcsnet import: every layout on small made pictures, duplicates, order, bad input; wbcsnet data on an untouched and a touched set.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use File::Path qw(make_path);
use Digest::SHA qw(sha256_hex);
use Import;

# ---- folders ----
my %alias = (NEU => 'neutrophil', Eosinophils => 'eosinophil', baso => 'basophil', Lymph => 'lymphocyte', MONOCYTE => 'monocyte');
my $n = 0;
my $source = "$dir/folders";
for my $name (sort keys %alias) { cell("$source/$name/patient 1/c$_.bmp", ++$n) for 1 .. 3; cell("$source/$name/c1.bmp", ++$n) }
spit("$source/NEU/Thumbs.db", 'x');
spit("$source/NEU/.DS_1.jpg", 'x');
spit("$source/notes.txt", 'x');
my $first = out();
my ($code, $said) = run('import', '--size', '12', $source, $first);
is($code, 0, 'folders: imported') or diag $said;
is(counts($first), '4, 4, 4, 4, 4', 'folders: aliases of the classes are understood, deeper folders entered');
like($said, qr/1 files that are not images.*2 hidden/s, 'folders: what was left out is said');
is(join('', map { "$_\n" } sort { (split /,/, $a)[0] cmp (split /,/, $b)[0] } rows($first)), join('', map { "$_\n" } rows($first)), 'labels.csv is sorted by file');
is(scalar(grep { my ($f, undef, undef, $sha) = split /,/; sha256_hex(slurp("$first/$f")) eq $sha } rows($first)), 20, 'labels.csv: every sha256 is that of the file');
my $labels_sha = sha256_hex(slurp("$first/labels.csv"));
like(slurp("$first/dataset.json"), qr/"sha256": "$labels_sha"/, 'dataset.json names labels.csv by its sha256');
like(slurp("$first/dataset.json"), qr/"kind": "real"/, 'dataset.json: real cells');
ok(-e "$first/neutrophil/patient_1_c2.tif", 'a deeper folder becomes part of the name');
is(length slurp("$first/neutrophil/c1.tif"), 180 + 12 * 12 * 3, 'a cell is an uncompressed TIFF');
my @neu = grep { $alias{$_} eq 'neutrophil' } sort keys %alias;
my $index = 4 * (grep { $_ lt 'NEU' } keys %alias) + 4;               # the number that c1.bmp of NEU was drawn with
is(pixel("$first/neutrophil/c1.tif", 12, 5, 7), join(' ', ($index * 7 + 21) % 256, ($index * 13 + 25) % 256, $index + 35), 'a cell of the right size keeps its pixels');

# The same pictures, made in another order, with another number of threads: the same bytes.
my $again = "$dir/again";
for my $file (reverse sort split /\n/, `cd '$source' && find . -name '*.bmp'`) { spit("$again/$file", slurp("$source/$file")) }
my $second = out();
{ local $ENV{OMP_NUM_THREADS} = 1; run('import', '--size', '12', $again, $second) }
is(slurp("$second/labels.csv"), slurp("$first/labels.csv"), 'the result does not depend on the order of the folder or on threads');

fails('an unknown class', 3, qr/class 'neutrofil'.*did you mean neutrophil/s, 'import', do { my $s = "$dir/typo"; cell("$s/neutrofil/a.bmp", 1); cell("$s/eos/a.bmp", 2); $s }, out());
fails('a class that is none', 3, qr/class 'blast'.*--skip-classes/s, 'import', do { my $s = "$dir/blast"; cell("$s/blast/a.bmp", 1); cell("$s/eos/a.bmp", 2); $s }, out());
my $o = out();
is((run('import', '--skip-classes', 'blast', "$dir/blast", $o))[0], 0, '--skip-classes waives it');
fails('an empty folder', 3, qr/no folders.*a folder for each class/s, 'import', do { make_path("$dir/empty"); "$dir/empty" }, out());
fails('empty class folders', 3, qr/no images of cells/, 'import', do { make_path("$dir/hollow/$_") for qw(neu eos); "$dir/hollow" }, out());
fails('a missing folder', 3, qr/no such folder/, 'import', "$dir/absent", out());
fails('no OUT', 2, qr/SOURCE and OUT/, 'import', $source);
fails('an unknown layout', 2, qr/did you mean pbc/, 'import', '--layout', 'pcb', $source, out());
fails('an unknown flag', 2, qr/did you mean --layout/, 'import', '--layuot', 'pbc', $source, out());
fails('a window larger than the image', 3, qr/smaller than the window of 40/, 'import', '--crop', 40, $source, out());
fails("a --size of $_", 2, qr/--size: found '?$_'?; expected 8 to 1024/, 'import', '--size', $_, $source, out()) for -1, 0;
fails("a --crop of $_", 2, qr/--crop: found '?$_'?; expected 0, or at least 8/, 'import', '--crop', $_, $source, out()) for -1, -8, 7;
fails("--same $_", 2, qr/--same: found '?$_'?; expected/, 'import', '--same', $_, $source, out()) for 'nan', -1, -0.5, 'inf', 1.5;
fails('an empty OUT', 2, qr/found an empty name/, 'import', '--size', 12, $source, '');
fails("--classes $_", 2, qr/--classes: found '$_', where a name is empty/, 'import', '--classes', $_, $source, out()) for ',neu', 'neu,,eos', 'neu,eos,', '';
fails('--name in Latin-1', 2, qr/--name: found a name for the set that is not UTF-8.*--name TEXT/s, 'import', '--size', 12, '--name', "caf\xe9", $source, out());
fails('a folder in Latin-1', 2, qr/found a name for the set that is not UTF-8.*--name TEXT/s, 'import', '--size', 12, $source, "$dir/caf\xe9");
fails('a table with class twice', 3, qr/columns 2 and 3 both named 'class'/, 'import', '--csv', do { spit("$dir/two.csv", "file,class,class\na,neu,eos\n"); "$dir/two.csv" }, $source, out());
my $latin = "$dir/t\xe9";
is((run('import', '--size', 12, '--name', "caf\xc3\xa9", $source, $latin))[0], 0, 'a folder in Latin-1 with a name in UTF-8');
ok(do { my $json = slurp("$latin/dataset.json"); utf8::decode($json) && $json =~ /"name": "caf\x{e9}"/ && $json =~ /t\\ufffd"/ }, '... makes a dataset.json that is UTF-8');
fails('a silly size', 2, qr/--size.*8 to 1024/, 'import', '--size', 3, $source, out());

# ---- a place that is taken ----
fails('a data set at OUT', 2, qr/--replace/, 'import', '--size', 12, $source, $first);
is((run('import', '--size', 12, '--replace', $again, $first))[0], 0, '--replace overwrites a data set');
is(slurp("$second/labels.csv"), slurp("$first/labels.csv"), '... with the same one');
fails('something else at OUT', 2, qr/something else in its place/, 'import', '--size', 12, '--replace', $source, $again);
ok(-e "$again/NEU/c1.bmp", '... which is left as it was');

# ---- an image that cannot be read ----
my $bad = "$dir/bad";
cell("$bad/neu/a.bmp", 1), cell("$bad/eos/a.bmp", 2);
spit("$bad/eos/b.bmp", substr slurp("$bad/eos/a.bmp"), 0, 100);
spit("$bad/eos/c.png", "\x89PNG\r\n\x1a\nnonsense");
fails('a truncated image', 3, qr{eos/b\.bmp: found a BMP cut short}, 'import', $bad, out());
$o = out();
($code, $said) = run('import', '--skip-bad', '--size', 12, $bad, $o);
ok($code == 0 && counts($o) eq '1, 1, 0, 0, 0' && $said =~ /2 images that cannot be read/, '--skip-bad leaves bad images out and counts them') or diag $said;

# The same where a table has each file's sha256: a folder instead of a file, another file, none, are left out like any bad image.
make_path("$bad/eos/folder.bmp");
spit("$bad/sums.csv", "file,class,sha256\n" . join '', map { "$_->[0],$_->[1],$_->[2]\n" } ['neu/a.bmp', 'neu', sha256_hex(slurp("$bad/neu/a.bmp"))],
     ['eos/a.bmp', 'eos', sha256_hex(slurp("$bad/eos/a.bmp"))], ['eos/folder.bmp', 'eos', '0' x 64], ['eos/b.bmp', 'eos', '1' x 64], ['eos/none.bmp', 'eos', '2' x 64]);
$o = out();
($code, $said) = run('import', '--csv', "$bad/sums.csv", '--skip-bad', '--size', 12, $bad, $o);
ok($code == 0 && counts($o) eq '1, 1, 0, 0, 0' && $said =~ /3 images that cannot be read/, '--skip-bad with a table of sha256') or diag $said;
spit("$bad/sums.csv", "file,class,sha256\nneu/a.bmp,neu,\neos/folder.bmp,eos," . '0' x 64 . "\n");
fails('a folder that a table calls an image', 3, qr{folder\.bmp: found not a plain file; expected a readable image.*--skip-bad}s, 'import', '--csv', "$bad/sums.csv", '--size', 12, $bad, out());

# ---- duplicates ----
my $twins = "$dir/twins";
cell("$twins/neu/$_.bmp", ord $_) for qw(a b c);
cell("$twins/neu/z.bmp", ord 'a');
cell("$twins/eos/d.bmp", 200);
$o = out();
($code, $said) = run('import', '--size', 12, $twins, $o);
ok($code == 0 && counts($o) eq '4, 1, 0, 0, 0' && $said =~ m{neu/z\.bmp: the same pixels as .*neu/a\.bmp}, 'duplicates of one class are reported and kept') or diag $said;
is(join('|', map { join ',', (split /,/, $_, -1)[0, 2] } grep { /same-as/ } rows($o)), 'neutrophil/a.tif,same-as-a|neutrophil/z.tif,same-as-a', '... in one group');
$o = out();
run('import', '--size', 12, '--duplicates', 'drop', $twins, $o);
is(counts($o), '3, 1, 0, 0, 0', '--duplicates drop keeps the first');
ok(-e "$o/neutrophil/a.tif" && !-e "$o/neutrophil/z.tif", '... by name');
cell("$twins/mono/e.bmp", ord 'b');
fails('one picture under two classes', 3, qr/under another class.*1 image under two classes.*--keep-conflicts drop/s, 'import', '--size', 12, $twins, out());
$o = out(), run('import', '--size', 12, '--keep-conflicts', 'drop', $twins, $o);
is(counts($o), '3, 1, 0, 0, 0', '--keep-conflicts drop leaves both out');
$o = out(), run('import', '--size', 12, '--keep-conflicts', 'first', $twins, $o);
is(counts($o), '4, 1, 0, 0, 0', '--keep-conflicts first keeps the first');
fails('a bad choice', 2, qr/drop or first/, 'import', '--keep-conflicts', 'both', $twins, out());

# ---- some of each class ----
$o = out();
($code, $said) = run('import', '--size', 12, '--take', '2,4,0,1,9', $source, $o);
ok($code == 0 && counts($o) eq '2, 4, 0, 1, 4' && $said =~ /9 cells more than were to be taken/, '--take: at most so many cells of each class') or diag $said;
my @taken = map { m{neutrophil/(.*)\.tif} ? $1 : () } rows($o);
my @least = sort { sha256_hex($a) cmp sha256_hex($b) } map { m{neutrophil/(.*)\.tif} ? $1 : () } rows($first);
is("@taken", join(' ', sort @least[0, 1]), '... those whose names have the least sha256');
fails('too few numbers to take', 2, qr/--take.*5 numbers/, 'import', '--take', '1,2,3', $source, out());

# ---- drawn cells stay drawn ----
$o = out();
run('import', '--size', 12, '--synthetic', $source, $o);
like(slurp("$o/dataset.json"), qr/"kind": "synthetic"/, '--synthetic is recorded');
my $redrawn = out();
run('import', '--size', 24, $o, $redrawn);
like(slurp("$redrawn/dataset.json"), qr/"kind": "synthetic"/, '... and believed when the set is a source itself');

# ---- a table ----
my $table = "$dir/table";
cell("$table/pics/$_.bmp", ord $_) for 'a' .. 'f';
my $csv = "extra,class,file,group\n" . join '', map { ",$_->[1],pics/$_->[0].bmp,$_->[2]\r\n" } ['a', 'NEU', '"slide 1, left"'], ['b', 'eo', 's2'], ['c', 'BA', 's2'], ['d', 'lym', ''], ['e', 'Monocyte', 's3'];
spit("$table/cells.csv", $csv);
$o = out();
($code, $said) = run('import', '--csv', "$table/cells.csv", '--size', 12, $dir, $o);
ok($code == 0 && counts($o) eq '1, 1, 1, 1, 1', 'a table: columns in any order, CRLF, class aliases') or diag $said;
is((split /\n/, slurp("$o/labels.csv"))[5] =~ s/,[0-9a-f]{64}$//r, 'neutrophil/pics_a.tif,neutrophil,"slide 1, left"', 'a table: a group with a comma comes through');
fails('a table without class', 3, qr/columns file, group.*a column 'class'/, 'import', '--csv', do { spit("$table/no.csv", "file,group\na,b\n"); "$table/no.csv" }, $dir, out());
fails('a table with an unknown class', 3, qr/t\.csv:3: found class 'monocite'.*did you mean monocyte/s, 'import', '--csv', do { spit("$table/t.csv", "file,class\npics/a.bmp,neu\npics/b.bmp,monocite\n"); "$table/t.csv" }, $dir, out());
fails('a table naming a missing file', 3, qr/pics\/q\.bmp: found No such file/, 'import', '--csv', do { spit("$table/m.csv", "file,class\npics/q.bmp,neu\n"); "$table/m.csv" }, $dir, out());
fails('a file that is not what the table says', 3, qr/sha256 .* as in the table/, 'import', '--csv', do { spit("$table/s.csv", "file,class,sha256\npics/a.bmp,neu,@{['0' x 64]}\n"); "$table/s.csv" }, $dir, out());
fails('a row with a field too many', 3, qr/w\.csv:3: found 3 fields; expected 2/, 'import', '--csv', do { spit("$table/w.csv", "file,class\npics/a.bmp,neu\npics/b.bmp,eo,1\n"); "$table/w.csv" }, $dir, out());
my $o2 = out();
is((run('import', '--size', 24, $o, $o2))[0], 0, 'a data set of ours is a source itself');
is((slurp("$o2/dataset.json") =~ /"height": (\d+)/)[0], 24, '... at another size');
is(join('|', sort map { (split /,/, s/"[^"]*"/q/r)[2] } rows($o2)), '|q|s2|s2|s3', '... with its groups');
fails('a table of groups with a stranger', 3, qr/file 'zz'.*a cell of the source/, 'import', '--groups', do { spit("$dir/g.csv", "file,group\nzz,1\n"); "$dir/g.csv" }, $twins, '--keep-conflicts', 'drop', out());
spit("$dir/g.csv", "file,group\npics/a.bmp,p1\npics/d.bmp,p1\n");
$o = out(), run('import', '--csv', "$table/cells.csv", '--groups', "$dir/g.csv", '--size', 12, $dir, $o);
is(scalar(grep { /,p1,/ } rows($o)), 2, '--groups: a table of groups goes before the layout');

spit("$dir/g.csv", "file,group\npics/a.bmp,p1\npics/a.bmp,p2\n");
fails('a cell in two groups', 3, qr/g\.csv:3: found a second group of .*a\.bmp/, 'import', '--csv', "$table/cells.csv", '--groups', "$dir/g.csv", '--size', 12, $dir, out());

# A row that a table has twice is one cell; the groups of both rows are joined.
spit("$table/twice.csv", "file,class,group\npics/a.bmp,neu,g1\npics/b.bmp,eo,g1\npics/a.bmp,neu,g1\npics/c.bmp,ba,g1\npics/c.bmp,ba,g2\npics/d.bmp,ba,g2\n");
$o = out();
($code, $said) = run('import', '--csv', "$table/twice.csv", '--size', 12, $dir, $o);
ok($code == 0 && counts($o) eq '1, 1, 2, 0, 0' && $said =~ m{pics/a\.bmp: listed twice} && $said =~ /2 duplicates/, 'a row that a table has twice counts once') or diag $said;
is(join('|', map { (split /,/)[2] } rows($o)), 'g1|g1|g1|g1', '... and joins its groups');

# What Notepad and Windows do to a table: a byte-order mark, carriage returns. What a damaged one, or UTF-16 without a mark, holds: zero bytes, which end no table early.
spit("$table/mark.csv", "\xef\xbb\xbffile,class\r\npics/a.bmp,neu\r\npics/b.bmp,eo\r\n");
$o = out();
is((run('import', '--csv', "$table/mark.csv", '--size', 12, $dir, $o))[0], 0, 'a table with a byte-order mark and carriage returns');
fails('a table with a zero byte', 3, qr/zero\.csv:3: found a zero byte.*UTF-8/s, 'import', '--csv', do { spit("$table/zero.csv", "file,class\npics/a.bmp,neu\npics/b.bmp\0,eo\n"); "$table/zero.csv" }, $dir, out());
fails('a table in UTF-16 without its mark', 3, qr/wide\.csv:1: found a zero byte.*UTF-8/s, 'import', '--csv', do { spit("$table/wide.csv", join '', map { "$_\0" } split //, "file,class\npics/a.bmp,neu\n"); "$table/wide.csv" }, $dir, out());

# ---- other classes ----
cell("$dir/other/$_/a.bmp", ord $_) for qw(red blue);
$o = out();
is((run('import', '--classes', 'blue,red', '--size', 12, "$dir/other", $o))[0], 0, '--classes: other classes than the five');
like(slurp("$o/dataset.json"), qr/"classes": \["blue", "red"\]/, '... are recorded');

# ---- PBC ----
my $pbc = "$dir/pbc/PBC_dataset_normal_DIB";
cell("$pbc/$_->[0]/$_->[1]_100.jpg", ord($_->[1]), 220) for ['neutrophil', 'SNE'], ['eosinophil', 'EO'], ['basophil', 'BA'], ['lymphocyte', 'LY'], ['monocyte', 'MO'], ['ig', 'IG'], ['platelet', 'PLATELET'], ['erythroblast', 'ERB'];
spit("$pbc/neutrophil/.DS_169665.jpg", 'junk');
$o = out();
($code, $said) = run('import', "$dir/pbc", $o);
ok($code == 0 && counts($o) eq '1, 1, 1, 1, 1' && $said =~ /PBC/, 'PBC: guessed, entered, three classes skipped, junk passed over') or diag $said;
my $sne = ord('S') * 7;                                              # the window of 210 in 220 starts at 5; a third of it is a 70 x 70 cell
is((split / /, pixel("$o/neutrophil/SNE_100.tif", 70, 30, 20))[0], ($sne + 3 * (5 + 3 * 20 + 1)) % 256, 'PBC: the middle 210 pixels become 70');

# ---- LISC ----
my $lisc = "$dir/lisc/LISC Database";
sub field {                                                          # discs of colour (y, x, r) on a field of 576 x 720, and the mask 4 pixels smaller all round
    my ($class, $name, $shade, @disc) = @_;
    my $hit = sub { my ($y, $x) = @_; for my $d (@disc) { return $d if ($y - $d->[0]) ** 2 + ($x - $d->[1]) ** 2 <= $d->[2] ** 2 } return };
    bmp("$lisc/Main Dataset/$class/$name.bmp", 576, 720, sub { my ($y, $x) = @_; my $d = $hit->($y, $x); $d ? ($shade, $y % 251, $x % 251) : (220, ($y * $shade) % 200, ($x * ($shade + $y)) % 199) });
    bmp("$lisc/Ground Truth Segmentation/$class/areaforexpert1/${name}_expert.bmp", 568, 712, sub { my ($y, $x) = @_; my $d = $hit->($y + 4, $x + 4); $d ? ($x + 4 > $d->[1] ? (255) x 3 : (150) x 3) : (0, 0, 0) });
}
field('Baso', 1, 60, [200, 300, 40], [400, 600, 35]);                # two cells
field('Baso', 2, 90, [20, 30, 20]);                                  # a cell in the corner
field('neut', 10, 120, [300, 300, 50], [100, 100, 6]);               # a cell and a speck of the brush
field('mixt', 1, 150, [300, 300, 50]);
$o = out();
($code, $said) = run('import', '--same', 0, "$dir/lisc", $o);
ok($code == 0 && counts($o) eq '1, 0, 3, 0, 0', 'LISC: guessed; a cell for each region of the mask, specks and mixt left out') or diag $said;
is(pixel("$o/basophil/1-1.tif", 150, 75, 75), '60 200 49', 'LISC: the window is centred on the cell');
is(pixel("$o/basophil/1-2.tif", 150, 75, 75), '60 149 98', '... and so is the second');
is(pixel("$o/basophil/2.tif", 150, 20, 30), '90 20 30', 'LISC: at the border the window is moved inwards');
is(join('|', map { (split /,/)[2] } rows($o)), 'Baso/1|Baso/1|Baso/2|neut/10', 'LISC: a group for each field');
bmp("$lisc/Main Dataset/Baso/3.bmp", 576, 720, sub { my ($y, $x) = @_; my $c = ($y - 21) ** 2 + ($x - 31) ** 2 <= 400; $c ? (93, ($y - 1) % 251, ($x - 1) % 251) : (221, (($y - 1) * 90) % 200, (($x - 1) * (89 + $y)) % 199) });
bmp("$lisc/Ground Truth Segmentation/Baso/areaforexpert1/3_expert.bmp", 568, 712, sub { my ($y, $x) = @_; ($y + 4 - 21) ** 2 + ($x + 4 - 31) ** 2 <= 400 ? (255) x 3 : (0) x 3 });
$o = out();
($code, $said) = run('import', "$dir/lisc", $o);
ok($said =~ /^alike.*^  0\.\d+  2 and 3$/ms, 'LISC: a field shot twice is found and said') or diag $said;
is(join('|', map { (split /,/)[2] } rows($o)), 'Baso/1|Baso/1|Baso/2|Baso/2|neut/10', '... and its cells share a group');
unlink "$lisc/Ground Truth Segmentation/Baso/areaforexpert1/3_expert.bmp";
$said = (run('import', "$dir/lisc", out()))[1];
like($said, qr/1 fields without a mask/, 'LISC: a field without a mask is counted');
fails('LISC without masks', 3, qr/no 'Ground Truth Segmentation'/, 'import', '--layout', 'lisc', do { cell("$dir/half/Main Dataset/Baso/1.bmp", 1); "$dir/half" }, out());

# ---- cells that look alike ----
# The same picture moved by two thirtieths of its side, beside noise: correlation 1 where they overlap, about none where they lie now. The cells are
# thirty pixels wide, so that the comparison sees them as they are.
my @noise = map { unpack 'C*', pack 'H*', sha256_hex($_) } 0 .. 49;
sub noisy { my ($path, $down, $right) = @_; bmp($path, 30, 30, sub { my ($y, $x) = @_; my $v = $noise[($y + $down) * 40 + $x + $right]; ($v, $v, $v) }) }
noisy("$dir/alike/neu/a.bmp", 2, 2), noisy("$dir/alike/neu/b.bmp", 0, 3), noisy("$dir/alike/neu/c.bmp", 5, 7), cell("$dir/alike/eos/d.bmp", 3, 30);
$o = out();
($code, $said) = run('import', '--size', 30, '--same', 0.85, "$dir/alike", $o);
ok($code == 0 && $said =~ /^  1\.000  a and b$/m && $said !~ / and c/, 'cells that look alike once one is moved by two thumbnail pixels; no more than that') or diag $said;
is(join('|', map { (split /,/)[2] } rows($o)), '|same-as-a|same-as-a|', '... share a group');

# ---- Chula ----
my $chula = "$dir/chula";
cell("$chula/crops/a$_.bmp", $_, 210) for 1 .. 4;
spit("$chula/labels.csv", "file,class,series,split_group\n" . join '', map { "crops/a$_.bmp,basophil,B,g@{[int($_ / 2)]}\n" } 1 .. 4);
$o = out();
($code, $said) = run('import', $chula, $o);
is(join('|', map { (split /,/)[2] } rows($o)), 'g0|g1|g1|g2', 'Chula: split_group is the group') or diag $said;
is((slurp("$o/dataset.json") =~ /"height": (\d+)/)[0], 150, 'Chula: 150 x 150');
for my $k (1, 2) { bmp("$dir/yolo/WBC_Samples/train/images/E-1_$k.bmp", 250, 400, sub { my ($y, $x) = @_; ($k * 10, $y, $x % 256) }) }
spit("$dir/yolo/WBC_Samples/train/labels/E-1_1.txt", "1 0.5 0.5 0.3 0.4\n4 0.25 0.5 0.3 0.4\n1 0.1 0.1 0.01 0.01\n");
$o = out();
($code, $said) = run('import', '--size', 200, "$dir/yolo", $o);
is(counts($o), '0, 1, 0, 0, 1', 'Chula, photographs: a cell for each box, slips of the mouse and photographs without boxes left out') or diag $said;
is(pixel("$o/eosinophil/E-1_1_0.tif", 200, 100, 100), '10 125 200', '... centred on its box');
is((split /,/, (rows($o))[0])[2], 'E-1', '... grouped by series');
my $boxes = "$dir/yolo/WBC_Samples/train/labels/E-1_2.txt";
for my $bad (['1 0,5 0.5 0.3 0.4', qr/E-1_2\.txt:2: found '1 0,5 .*with a point/s], ['1 0.5 0.5 0.3', qr/E-1_2\.txt:2: found '1 0\.5/], ['1 0.5 0.5 0.3 0.4 0.9', qr/:2: found '1/],
             ['1 0.5 0.5 nan 0.4', qr/E-1_2\.txt:2: found class 1 at/], ['x', qr/:2: found 'x'/]) {
    spit($boxes, "1 0.5 0.5 0.3 0.4\n$bad->[0]\n4 0.25 0.5 0.3 0.4\n");
    fails("the line '$bad->[0]' among boxes", 3, $bad->[1], 'import', "$dir/yolo", out());
}
spit($boxes, "\xef\xbb\xbf1 0.5 0.5 0.3 0.4\r\n\r\n 4 0.25 0.5 0.3 0.4 \r\n");
$o = out();
($code, $said) = run('import', '--size', 200, "$dir/yolo", $o);
is(counts($o), '0, 2, 0, 0, 2', 'boxes with a byte-order mark, carriage returns and an empty line') or diag $said;
spit($boxes, "7 0.5 0.5 0.3 0.4\n");
fails('a box of an unknown class', 3, qr/class 7/, 'import', "$dir/yolo", out());

# ---- what the user has ----
($code, $said) = run('data', $first);
ok($code == 0 && $said =~ /20 cells of 12 x 12/ && $said =~ /neutrophil 4 eosinophil 4/, 'data: says what a set is') or diag $said;
my $victim = "$first/monocyte/c1.tif";
my $bytes = slurp($victim);
spit($victim, substr($bytes, 0, 300) . chr(ord(substr $bytes, 300, 1) ^ 1) . substr $bytes, 301);
fails('a cell that was touched', 3, qr/monocyte\/c1\.tif.*changed since it was imported/, 'data', $first);
unlink $victim;
fails('a cell that is gone', 3, qr/monocyte\/c1\.tif: found No such file/, 'data', $first);
spit($victim, $bytes);
spit("$first/labels.csv", slurp("$first/labels.csv") =~ s/,lymphocyte,/,neutrophil,/r);
($code, $said) = run('data', $first);
ok($code == 0 && $said =~ /edited since/, 'an edited labels.csv is warned of') or diag $said;
like($said, qr/edited since the set was made: found neutrophil 5, not 4, lymphocyte 3, not 4 as in dataset\.json/, '... with what it changed');
my $edited = slurp("$first/labels.csv");
my ($sum) = $edited =~ /^monocyte\/c1\.tif,.*,(\w{64})$/m;
my $late = substr($sum, 0, 63) . ($sum =~ /0$/ ? '1' : '0');
spit("$first/labels.csv", $edited =~ s/$sum/$late/r);
fails('a hash with another last digit', 3, qr/monocyte\/c1\.tif: found sha256 $sum, and $late in labels\.csv: the image or its row/, 'data', $first);
for my $head (['sha256', 'zha256', 'sha256'], ['group', 'groups', 'group'], ['file', 'File', 'file']) {
    spit("$first/labels.csv", $edited =~ s/$head->[0]/$head->[1]/r);
    fails("a column $head->[1]", 3, qr/labels\.csv: found a column '$head->[1]'; expected none but.*did you mean $head->[2]\?/s, 'data', $first);
    fails("... in a source that is a data set", 3, qr/labels\.csv: found a column '$head->[1]'/, 'import', '--size', 12, $first, out());
}
spit("$first/labels.csv", $edited);
# What dataset.json must say, one bit away from saying it: a misspelt kind must never make real cells of drawn ones.
# Its own hash, which tells every other change, is taken out for these.
my $sealed = slurp("$redrawn/dataset.json");
for my $wrong (['"height": \d', '"height": 7', 'a height'], ['"name": "', '"name": "x', 'a name'], [' "command"', '  "command"', 'a space']) {
    spit("$redrawn/dataset.json", $sealed =~ s/$wrong->[0]/$wrong->[1]/r);
    fails("dataset.json with $wrong->[2] changed", 3, qr/dataset\.json: found another text than was written; expected the SHA-256/, 'data', $redrawn);
    fails('... as a source too', 3, qr/dataset\.json: found another text/, 'import', '--size', 12, $redrawn, out());
}
my $right = $sealed =~ s/,\n "description_sha256": "\w*"//r;
spit("$redrawn/dataset.json", $right =~ s/"name": "/"name": "x/r);
is((run('data', $redrawn))[0], 0, 'a description without its own hash is believed');
for my $wrong (['"kind"', '"kine"', qr/no 'kind'/], ['synthetic', 'synthetib', qr/kind 'synthetib'; expected real or synthetic/], ['"name"', '"nane"', qr/no 'name'/], ['"sha256"', '"sha257"', qr/no 'sha256'/],
               ['"cells"', '"bells"', qr/no 'cells'/], ['"counts"', '"bounts"', qr/no 'counts'/], ['"height"', '"hfight"', qr/no 'height'/], ['"cells": 20', '"cells": 28', qr/28 cells, counts of 20/],
               ['"counts": \[4, 4', '"counts": [5, 3', qr/5 cells of class neutrophil; expected 4, as in labels\.csv/], ['"counts": \[4', '"counts": [4.5', qr/counts 4\.5/], ['"classes": \[', '"classes": [7, ', qr/no name/],
               ['"kind": "synthetic"', '"kind": 1', qr/'kind' of another kind/]) {
    spit("$redrawn/dataset.json", $right =~ s/$wrong->[0]/$wrong->[1]/r);
    fails("dataset.json with $wrong->[1]", 3, $wrong->[2], 'data', $redrawn);
}
spit("$redrawn/dataset.json", $right =~ s/"kind"/"kine"/r);
fails('... nor as a source', 3, qr/no 'kind'/, 'import', '--size', 12, $redrawn, out());
spit("$redrawn/dataset.json", $right);
my $labels = slurp("$redrawn/labels.csv");
spit("$redrawn/labels.csv", $labels =~ s/[^\n]*\n$//r);
fails('a labels.csv cut at a row\'s end', 3, qr/labels\.csv: found 19 cells; expected 20, as in dataset\.json.*cut short/s, 'data', $redrawn);
spit("$redrawn/labels.csv", $labels =~ s/^(neutrophil[^\n]*\n)[^\n]*\n/$1$1/mr);
fails('a row of labels.csv twice', 3, qr/labels\.csv: found two rows of neutrophil/, 'data', $redrawn);
spit("$redrawn/labels.csv", $labels);
is((run('data', $redrawn))[0], 0, 'put right, the set is good again');
fails('no data set', 3, qr/no dataset\.json/, 'data', $source);

# ---- the command in dataset.json ----
make_path("$dir/it's");
system 'cp', '-r', "$source/.", "$dir/it's/a \"b\"";
$o = out();
my $long = 'long-' x 16;
my $longset = out();
run('import', '--size', 12, '--name', $long, $source, $longset);
like((run('data', $longset))[1], qr/^  $long, real, /m, 'a name of 80 letters stays whole');
run('import', '--size', 12, '--name', 'a"b\\c', "$dir/it's/a \"b\"", $o);
my ($command) = slurp("$o/dataset.json") =~ /"command": "((?:[^"\\]|\\.)*)"/;
$command =~ s/\\(.)/$1/g;
is(`set -- $command; printf '%s|' "\$@"`, "wbcsnet|import|--size|12|--name|a\"b\\c|$dir/it's/a \"b\"|$o|", 'dataset.json: the command reads back as the shell had it');
fails('a damaged dataset.json', 3, qr/dataset\.json/, 'data', do { spit("$second/dataset.json", '{"classes": ["a"'); $second });

# ---- a full disk ----
$o = out();
$said = `sh -c "trap '' XFSZ; ulimit -f 8; exec '$Import::wbcsnet' import --size 70 '$source' '$o'" 2>&1`;
ok($? >> 8 == 1 && $said =~ /cannot write: File too large/, 'a disk that takes no more: exit 1 and a message') or diag $said;
ok(!-e $o && !glob("$o.tmp.*"), '... and nothing is left');

# ---- Ctrl-C ----
my $many = "$dir/many";
cell("$many/neu/c$_.bmp", $_) for 1 .. 1500;
cell("$many/eos/c1.bmp", 5000);
$o = out();
my $pid = fork;
if (!$pid) { open STDOUT, '>', "$dir/said"; open STDERR, '>&', \*STDOUT; exec $Import::wbcsnet, 'import', '--size', 32, '--same', 0.999, $many, $o }
sleep 1;
kill INT => $pid;
waitpid $pid, 0;
is($? >> 8, 130, 'Ctrl-C: exit 130') or diag slurp("$dir/said");
like(slurp("$dir/said"), qr/nothing was written/, 'Ctrl-C: says so');
ok(!-e $o && !glob("$o.tmp.*"), 'Ctrl-C: leaves nothing');
done_testing;
