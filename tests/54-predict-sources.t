#!/usr/bin/perl
# predict finds and reads images by import's rules: odd endings, links, layouts, tables, arrays; what it leaves out; a table of answers for import and evaluate.
use strict; use warnings;
use FindBin; use lib $FindBin::Bin; use Job; use JSON::PP; use Import (); use Compress::Raw::Zlib;
use File::Path qw(make_path);

make_set(tmp('set'), 12, [10, 8, 6, 8, 8]);
write_file(tmp('tiny.net'), "name tiny\ntitle Tiny net\ninput 8 8 3\nconv conv1 filters 4 kernel 3 stride 1 pad same\nbn bn1\nrelu relu1\nfc fc1 units classes\nsoftmax loss\n");
write_file(tmp('tiny.conf'), "batch 8\nepochs 3\n");
my ($code, $out, $err) = run(job(out => 'a', quiet => 1, device => 'cpu'));
ok($code == 0, 'a net is trained') or print "# $err";
my $w = tmp('a/weights.safetensors');
sub predict { ($code, $out, $err) = run('predict', '--device', 'cpu', '--weights', $w, @_); $code }
my $json = JSON::PP->new->canonical;
sub files { join ' ', map { m{([^/\s]+)$} ? $1 : () } grep { !/^class / } split /\n/, $_[0] }
sub copied { my ($n, $to) = @_; write_file(tmp($to), read_file(tmp(sprintf 'set/%s', $n))) }

# ---- what an image is ----
make_path(map { tmp("odd/$_") } qw(neu deep/er));
copied('neutrophil/cell001.tif', 'odd/neu/plain'), copied('eosinophil/cell001.tif', 'odd/neu/b.cell'), copied('basophil/cell001.tif', 'odd/deep/er/c.tif');
write_file(tmp('odd/notes.txt'), "BMI of the patients: 21\n");
write_file(tmp('odd/.hidden.tif'), 'x');
symlink '..', tmp('odd/deep/er/up');
symlink '.', tmp('odd/neu/here');
predict(tmp('odd'));
ok($code == 0 && files($out) eq 'c.tif b.cell plain', 'images by their content, whatever their names end in, and each once') or print "# $code $out $err";
ok((() = $err =~ /a link to a folder that holds it/g) == 2, 'links that lead back are told');
ok($err =~ /left out:\n +1 files that are not images of cells\n +1 hidden or system files\n/, 'and what was left out, at the end') or print "# $err";
write_file(tmp('odd/w.webp'), "RIFF\x20\0\0\0WEBPVP8 " . 'x' x 24);
ok(predict(tmp('odd')) == 3 && $err =~ /w\.webp: WebP, which is not read/ && $err =~ /1 images that cannot be read/ && files($out) eq 'c.tif b.cell plain', 'WebP by its kind; the others are classified; exit 3') or print "# $code $err";
ok(predict('--skip-bad', tmp('odd')) == 0 && $err =~ /w\.webp/, '--skip-bad: told all the same, exit 0');
unlink tmp('odd/w.webp');

# ---- white, page, pad ----
sub tiff16 {                                          # 12 x 12, 16 bits a sample, of one value
    my ($v) = @_;
    my @tag = ([256, 4, 1, 12], [257, 4, 1, 12], [258, 3, 3, 8 + 864 + 126], [259, 3, 1, 1], [262, 3, 1, 2], [273, 4, 1, 8], [277, 3, 1, 3], [278, 4, 1, 12], [279, 4, 1, 864], [284, 3, 1, 1]);
    return pack('A2vV', 'II', 42, 8 + 864) . pack('v*', ($v) x 432) . pack('v', 10) . join('', map { pack 'vvVV', @$_ } @tag) . pack('V', 0) . pack('v3', (16) x 3);
}
write_file(tmp('dim.tif'), tiff16(2048));
write_file(tmp('half.tif'), Job::tiff(12, 12, "\x80" x 432));
my $half = do { predict('--csv', tmp('half.tif')); $out =~ s/.*half\.tif,//sr };
predict('--csv', '--white', 4095, tmp('dim.tif'));
ok($code == 0 && $out =~ s/.*dim\.tif,//sr eq $half, '--white 4095: 2048 of 12 bits is half') or print "# $out $half";
predict('--csv', tmp('dim.tif'));
ok($out =~ s/.*dim\.tif,//sr ne $half, 'which it is not without') or print "# $out";
ok(predict('--crop', 20, tmp('half.tif')) == 3 && $err =~ /smaller than the window of 20/ && predict('--crop', 20, '--pad', 'edge', tmp('half.tif')) == 0, 'a window larger than the image is told, or padded') or print "# $err";
ok(predict('--crop', 3, tmp('half.tif')) == 2 && predict('--page', -1, tmp('half.tif')) == 2 && predict('--pad', 'x', tmp('half.tif')) == 2, 'flags out of range');
my $one = Job::tiff(12, 12, "\x20" x 432);
my $two = Job::tiff(12, 12, "\x80" x 432);            # two pages: the second's places lie behind the first
my $shift = length $one;
my $second = substr($two, 8, 432) . do {
    my $ifd = substr $two, 8 + 432; my @e = unpack 'v (a12)10 V', $ifd; my $n = shift @e;
    join('', pack('v', 10), (map { my ($t, $k, $c, $v) = unpack 'vvVV', $_; $v += $shift - 8 if $t == 273; $v += $shift - 8 if $t == 258; pack 'vvVV', $t, $k, $c, $v } @e[0 .. 9]), pack('V', 0), substr $ifd, 126) };
substr($one, 8 + 432 + 2 + 120, 4) = pack 'V', $shift + 432;
write_file(tmp('pages.tif'), $one . $second);
ok(predict(tmp('pages.tif')) == 3 && $err =~ /--page/, 'a TIFF of two pages is refused with the flag that chooses') or print "# $code $err";
predict('--csv', '--page', 2, tmp('pages.tif'));
ok($code == 0 && $out =~ s/.*pages\.tif,//sr eq $half, '--page 2 takes the second') or print "# $code $out $err";

# ---- layouts, tables, classes ----
make_path(map { tmp("lab/$_") } qw(NGS Eos Plt));
copied('neutrophil/cell002.tif', 'lab/NGS/1.tif'), copied('eosinophil/cell002.tif', 'lab/Eos/2.tif'), copied('basophil/cell002.tif', 'lab/Plt/3.tif');
ok(predict('--layout', 'folders', '--json', tmp('lab')) == 0 && $err =~ /classes 'NGS', 'Plt', not of .*--map NGS=CLASS,Plt=CLASS/s, 'words that are no class are told with the flag that maps them') or print "# $code $err";
my @j = map { decode_json($_) } split /\n/, $out;
ok(join(' ', map { $_->{true} // '-' } @j) eq 'eosinophil - -', 'what is a class is known beside the answer') or print "# $out";
predict('--layout', 'folders', '--map', 'NGS=neutrophil', '--skip-classes', 'Plt', '--json', tmp('lab'));
@j = map { decode_json($_) } split /\n/, $out;
ok($code == 0 && join(' ', map { $_->{true} // '-' } @j) eq 'eosinophil neutrophil' && $err !~ /--map/ && $err =~ /1 folders, rows or boxes of other classes/, '--map and --skip-classes apply') or print "# $out $err";
predict('--layout', 'folders', '--classes', 'ngs,eos,plt', '--json', tmp('lab'));
@j = map { decode_json($_) } split /\n/, $out;
ok($code == 0 && join(' ', map { $_->{true} // '-' } @j) eq 'eos ngs plt', '--classes names what is true otherwise') or print "# $out $err";
ok(predict('--layout', 'nonesuch', tmp('lab')) == 2 && predict('--map', 'NGS=nothing', tmp('lab')) == 2, 'an unknown layout, a map to no class: exit 2');
predict('--csv', tmp('set/labels.csv'));
my $by_table = $out;
predict('--csv', tmp('set'));
ok($code == 0 && join('', sort split /^/, $by_table) eq join('', sort split /^/, $out), "a data set's labels.csv names the same cells as its folder") or print "# $by_table";
write_file(tmp('some.csv'), "filename\tstain\nlab/NGS/1.tif\tMGG\nlab/Eos/2.tif\tMGG\n" =~ s/filename/file/r);
ok(predict(tmp('some.csv')) == 0 && files($out) eq '1.tif 2.tif', 'a table without classes, too') or print "# $code $out $err";

# ---- arrays ----
my @cells = sort glob tmp('set/*/*01.tif');            # two parts of the five
my @pixels = map { substr read_file($_), 8, 432 } @cells;
Import::npz(tmp('five.npz'), 'deflated', train_images => Import::npy('|u1', '3, 12, 12, 3', join '', @pixels[0 .. 2]), train_labels => Import::npy('|u1', '3, 1', "\0\1\2"),
    test_images => Import::npy('|u1', '2, 12, 12, 3', join '', @pixels[3, 4]), test_labels => Import::npy('|u1', '2, 1', "\3\4"));
predict('--csv', @cells);
my @want = map { s/^[^,]*,//r } (split /\n/, $out)[1 .. 5];
predict('--csv', '--skip-classes', '2', tmp('five.npz'));
my @got = map { s/^[^,]*,//r } grep { !/^file/ } split /\n/, $out;
ok($code == 0 && "@got" eq "@want[0, 1, 3, 4]" && $err =~ /classes '0'.*--map 0=/s, 'the pictures of an archive of arrays, by their places') or print "# $code $out $err";

# ---- a table of answers ----
predict('--layout', 'csv', '--table', tmp('answers.csv'), tmp('set'));
my @row = split /\n/, read_file(tmp('answers.csv'));
ok($code == 0 && $row[0] eq 'file,class,true,' . join(',', @Job::class) && @row == 41 && $row[1] =~ m{^/.*/set/\w+/cell\d+\.tif,\w+,\w+,[\d.e-]+,}, '--table writes whole paths, answers, truth and probabilities') or print "# $row[0] $row[1] $err";
($code, $out, $err) = run('import', '--csv', tmp('answers.csv'), '--size', 12, $FindBin::Bin, tmp('sorted'));
ok($code == 0 && $out =~ /40 cells/, 'import reads it: cells sorted by a net') or print "# $out $err";
sub evaluate { ($code, $out, $err) = run('evaluate', '--device', 'cpu', '--data', tmp('set'), '--json', @_); $code ? {} : decode_json($out) }
my ($net, $table) = map { evaluate(@$_) } ['--weights', $w], ['--answers', tmp('answers.csv')];
my @same = grep { $json->encode([$net->{$_}]) eq $json->encode([$table->{$_}]) } qw(cells right confusion accuracy balanced_accuracy macro_f1 calibration_error reliability recall);
ok(@same == 9, "evaluate --answers finds in it what it finds of the weights") or print "# @same\n";
ok($table->{learned_from} eq 'unknown', 'but not what they learned from') or print "# $table->{learned_from}";
predict('--csv', tmp('set'));
write_file(tmp('printed.csv'), $out);
ok(($_ = evaluate('--answers', tmp('printed.csv')))->{right} == $net->{right}, 'what --csv prints serves as well') or print "# $err";
write_file(tmp('words.csv'), "file,class\n" . join '', map { my @f = split /,/; "elsewhere/$f[0],$f[1]\n" } (split /\n/, read_file(tmp('set/labels.csv')))[1 .. 40]);
$_ = evaluate('--answers', tmp('words.csv'));
ok($code == 0 && $_->{right} == 40 && $_->{mean_confidence} == 1, "a person's words, without probabilities: all right") or print "# $code $err";
my $words = read_file(tmp('words.csv'));
write_file(tmp('words.csv'), $words =~ s/elsewhere\/basophil\/cell003.*\n//r);
evaluate('--answers', tmp('words.csv'));
ok($code == 3 && $err =~ m{no answer for 1 cells, the first of them basophil/cell003\.tif}, 'a cell without an answer is told') or print "# $code $err";
write_file(tmp('words.csv'), $words . "x/basophil/cell003.tif,basophil\n");
evaluate('--answers', tmp('words.csv'));
ok($code == 3 && $err =~ m{basophil/cell003\.tif a second time, in line 42}, 'and a cell with two') or print "# $code $err";
write_file(tmp('words.csv'), read_file(tmp('printed.csv')) =~ s/,([\d.e-]+)$/,high/mr);
evaluate('--answers', tmp('words.csv'));
ok($code == 3 && $err =~ /words\.csv:2: found 'high' for monocyte; expected a probability/, 'and a word in place of a probability') or print "# $code $err";
($code, $out, $err) = run('evaluate', '--device', 'cpu', '--data', tmp('set'), '--answers', tmp('answers.csv'), '--out', tmp('run/person/seed1/fold0'));
ok($code == 0 && -s tmp('run/person/seed1/fold0/run.json'), 'a run folder of answers') or print "# $code $err";
done_testing();
