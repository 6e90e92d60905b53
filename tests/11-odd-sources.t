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

done_testing;
