#!/usr/bin/perl
# A reminder: when a change moves the bits of a result, a number must be raised by hand (the book, "The run folder"), so that runs of
# the older arithmetic are not taken for current ones. tests/arithmetic.csv holds, for each number, what a small run gave.
use strict; use warnings;
use FindBin; use lib $FindBin::Bin; use Job; use Digest::SHA qw(sha256_hex);

# The numbers stand in the generated C, in the tables that the program itself reads.
sub number { my ($file, $pattern) = @_; my ($n) = read_file("$FindBin::Bin/../generated/$file") =~ $pattern or die "$file: no number"; $n }
my %number = (ref => number('engines/ref.c', qr/\.name = "ref", \.arithmetic = (\d+)/), cpu => number('engines/cpu.c', qr/\.name = "cpu", \.arithmetic = (\d+)/),
              training => number('learning/train.c', qr/TRAINING = (\d+)/), pipeline => number('classical/classical.c', qr/PIPELINE = (\d+)/), logistic => number('classical/frozen.c', qr/LOGISTIC = (\d+)/),
              evaluation => number('results/evaluate.c', qr/EVALUATION = (\d+)/));
my %known;
open my $table, '<', "$FindBin::Bin/arithmetic.csv" or die "tests/arithmetic.csv: $!";
while (<$table>) { chomp; my ($what, @rest) = split /,/; my $hash = pop @rest; $known{"$what," . join ',', @rest} = $hash }

make_set(tmp('set'), 24, [10, 8, 8, 8, 8]);
write_file(tmp('all.net'), "name all\ntitle All\ninput 24 24 3\nconv c1 filters 8 kernel 5 stride 1 pad same\nbn n1\nrelu r1\nconv c2 filters 8 kernel 5 stride 1 pad same\nbn n2\n"
    . "add a1 with r1\nrelu r2\nmaxpool p1 size 2 stride 2\nconv c3 filters 12 kernel 3 stride 1 pad same\nbn n3\nrelu r3\nfc f1 units 16\ndropout d1 p 0.5\nfc f2 units classes\nsoftmax loss\n");
write_file(tmp('faithful.conf'), "batch 8\nepochs 4\ninit_std 0.05\n");
write_file(tmp('modern.conf'), "batch 8\nepochs 4\ninit glorot\nshuffle epoch\nlast_batch keep\nbn_statistics moving\naugment turns\nclass_weights root\n");

# what,number,number: what ran, and the hash of its log and its predictions (or of the answers alone)
sub check {
    my ($row, $folder, $answers) = @_;
    my $said = read_file("$folder/predictions.csv");
    my $hash = sha256_hex($answers ? $said =~ s/^([^,]*,[^,]*,[^,]*),.*$/$1/mgr : read_file("$folder/log.csv") . $said);
    my $is = $known{$row};
    ok(defined $is && $is eq $hash, "$row gives the bits that it gave") or print defined $is
        ? "# the bits moved: raise the number that stands behind it, and add the row $row with its new number and $hash\n"
        : "# tests/arithmetic.csv has no row for it: add $row,$hash\n";
}
for my $device ('ref', 'cpu') {
    for my $recipe ('faithful', 'modern') {
        my ($code, $out, $err) = run(job(out => "$device-$recipe", net => tmp('all.net'), recipe => tmp("$recipe.conf"), device => $device));
        ok($code == 0, "$device, $recipe") or print "# $err\n";
        check("$device $recipe,$number{$device},$number{training}", tmp("$device-$recipe"));
    }
}
my ($code, $out, $err) = run('frozen', '--weights', tmp('cpu-faithful/weights.safetensors'), '--data', tmp('set'), '--folds', 4, '--fold', 0, '--device', 'cpu', '--out', tmp('frozen'));
ok($code == 0, 'frozen') or print "# $err\n";
check("frozen cpu,$number{cpu},$number{logistic}", tmp('frozen'));
make_set(tmp('elsewhere'), 24, [10, 8, 8, 8, 8], seed => 2);
($code, $out, $err) = run('evaluate', '--weights', tmp('cpu-faithful/weights.safetensors'), tmp('cpu-modern/weights.safetensors'), '--data', tmp('elsewhere'), '--device', 'cpu', '--out', tmp('evaluate'));
ok($code == 0, 'evaluate') or print "# $err\n";
check("evaluate cpu,$number{cpu},$number{evaluation}", tmp('evaluate'));
run('synth', '--counts', '12,8,8,8,8', '--size', 40, tmp('drawn'));
($code, $out, $err) = run('classical', '--data', tmp('drawn'), '--folds', 4, '--fold', 0, '--out', tmp('classical'));
if ($code == 1 && $err =~ /LAPACK/) { skip(2, 'no LAPACK here') }
else { ok($code == 0, 'classical') or print "# $err\n"; check("classical,$number{pipeline}", tmp('classical'), 'answers') }    # LAPACKs round differently
done_testing();
