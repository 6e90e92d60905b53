#!/usr/bin/perl
# MedMNIST's .npz, from the file to an accuracy on its own test split; archives that are compressed, wide, damaged.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use Import;

my $zlib = eval { require Compress::Raw::Zlib; 1 } && `$Import::wbcsnet doctor` =~ /zlib\s+(?!off)\S/;

# Eight classes in turn; a class has its colour, a picture its own pixels.
my $side = 9;
my %n = (train => 80, val => 16, test => 24);
my @name = qw(basophil eosinophil erythroblast ig lymphocyte monocyte neutrophil platelet);
sub value { my ($part, $i, $y, $x, $c) = @_; return ($i % 8 * 29 + $c * 40 * ($i % 3) + $y + 2 * $x + $i + length $part) % 256 }
sub pictures { my ($part) = @_; my $s = ''; for my $i (0 .. $n{$part} - 1) { for my $y (0 .. $side - 1) { for my $x (0 .. $side - 1) { $s .= chr value($part, $i, $y, $x, $_) for 0 .. 2 } } } return $s }
sub labels { my ($part) = @_; return npy('|u1', "$n{$part}, 1", join '', map { chr($_ % 8) } 0 .. $n{$part} - 1) }
my %images = map { ($_ => npy('|u1', "$n{$_}, $side, $side, 3", pictures($_))) } keys %n;
my @member = map { ("${_}_images", $images{$_}, "${_}_labels", labels($_)) } qw(train val test);

my $labels;
for my $how ('stored', 'wide', 'deflated', 'deflated wide') {
    SKIP: {
        skip 'no zlib here', 2 if $how =~ /deflated/ && !$zlib;
        my $o = out();
        my ($code, $said) = run('import', '--synthetic', '--size', $side, npz("$dir/$how/bloodmnist.npz", $how, @member), $o);
        ok($code == 0 && counts($o) eq '15, 15, 15, 15, 15' && $said =~ /50 train, 10 val, 15 test.*45 folders, rows or boxes of other classes/s, "$how: the five classes, and the split") or diag $said;
        $labels //= slurp("$o/labels.csv");
        is(slurp("$o/labels.csv"), $labels, "$how: the same cells");
        next if $how ne 'stored';
        my $wrong = 0;
        for my $part (keys %n) {
            for my $i (grep { $_ % 8 != 2 && $_ % 8 != 3 && $_ % 8 != 7 } 0 .. $n{$part} - 1) {
                my $file = sprintf '%s/%s/%s_%05d.tif', $o, $name[$i % 8], $part, $i;
                $wrong++ if substr(slurp($file), 180) ne substr(pictures($part), 3 * $side * $side * $i, 3 * $side * $side);
            }
        }
        is($wrong, 0, 'every pixel is the array\'s');
        spit("$dir/fc.net", "name fc\ntitle FC\ninput $side $side 3\nfc fc1 units classes\nsoftmax loss\n"), spit("$dir/fc.conf", "batch 10\nepochs 2\n");
        ($code, $said) = run('train', '--data', $o, '--net', "$dir/fc.net", '--recipe', "$dir/fc.conf", '--folds', 'split', '--out', "$dir/run");
        ok($code == 0 && $said =~ /of 15 held-out cells right/, 'train --folds split tells the accuracy on its test part') or diag $said;
    }
}
# Grey pictures, labels of another type and order, another set: numbers that --map explains.
my $grey = npz("$dir/other.npz", 'stored', 'test_images', npy('|u1', "4, $side, $side", join '', map { chr($_ * 9) x ($side * $side) } 1 .. 4), 'test_labels', npy('>i4', '4,', pack 'l>*', 3, -1, 3, -1));
fails('numbers without a map', 3, qr/other\.npz:test_labels\[0\]: found classes '3' \(2 times\), '-1' \(2 times\)/, 'import', $grey, out());
my $o = out();
my ($code, $said) = run('import', '--map', '3=neutrophil,-1=eosinophil', '--size', $side, $grey, $o);
ok($code == 0 && counts($o) eq '2, 2, 0, 0, 0' && pixel("$o/neutrophil/test_00002.tif", $side, 4, 4) eq '27 27 27', '... and with one; grey becomes RGB') or diag $said;

# ---- what is refused ----
sub refused { my ($what, $like, @m) = @_; fails($what, 3, $like, 'import', npz("$dir/bad/bloodmnist.npz", 'stored', @m), out()) }
refused('an archive of something else', qr/without train_images.*unpack it first/s, 'data', npy('|u1', '1,', 'x'));
refused('pictures without labels', qr/no test_labels; expected a label for each image/, 'test_images', $images{test});
refused('fewer labels than pictures', qr/80 labels for 24 images of test/, 'test_images', $images{test}, 'test_labels', labels('train'));
refused('pictures of floating point', qr/array of '<f4'.*; whole numbers are read/, 'test_images', npy('<f4', '1, 2, 2, 3', "\0" x 48), 'test_labels', labels('test'));
refused("Fortran's order", qr/Fortran's order/, 'test_images', npy('|u1', "1, $side, $side, 3", 'x' x (3 * $side * $side), 'True'), 'test_labels', labels('test'));
refused('another shape', qr/another length than its shape/, 'test_images', npy('|u1', "2, $side, $side, 3", 'x' x (3 * $side * $side)), 'test_labels', labels('test'));
refused('two channels', qr/of another kind/, 'test_images', npy('|u1', '1, 2, 2, 2', 'x' x 8), 'test_labels', labels('test'));
for my $how ('stored', $zlib ? 'deflated' : ()) {
    my $good = slurp("$dir/$how/bloodmnist.npz");
    my $place = index($good, $how eq 'stored' ? substr(pictures('test'), 100, 50) : "test_images.npy") + 300;
    spit("$dir/hurt/bloodmnist.npz", substr($good, 0, $place) . chr(ord(substr $good, $place, 1) ^ 4) . substr $good, $place + 1);
    fails("$how: a bit that flipped", 3, qr/bloodmnist\.npz: found .*(damaged|no array)/, 'import', "$dir/hurt/bloodmnist.npz", out());
    spit("$dir/hurt/bloodmnist.npz", substr $good, 0, length($good) / 2);
    fails("$how: half of a file", 3, qr/no directory at its end.*download complete/s, 'import', "$dir/hurt/bloodmnist.npz", out());
}
fails('a file that is no archive', 3, qr/not a folder/, 'import', do { spit("$dir/plain.npz", 'hello'); "$dir/plain.npz" }, out());
done_testing;
