#!/usr/bin/perl
# experiments/elsewhere: the rules for every pair of sets and kind of arm, run small; the table against the runs' own numbers.
use strict; use warnings;
use FindBin; use lib $FindBin::Bin; use Job; use JSON::PP; use Cwd qw(abs_path);

chdir "$FindBin::Bin/.." or die;
my $bin = abs_path($Job::program);
sub sh { my $said = qx($_[0] 2>&1); ($? >> 8, $said) }
my ($code, $said);
($code, $said) = sh("$bin synth --counts 16,10,8,12,10 --size 24 --stain $_->[1] --zoom $_->[2] " . tmp($_->[0])) for ['one', 'wright', 1], ['two', 'giemsa', 1.3];
ok($code == 0, 'two laboratories') or print "# $said";
write_file(tmp('small.conf'), <<'END');
folds 2
seeds 1
epochs 2
recipe faithful
arm wbcsnet2  net wbcsnet2
arm classical system classical
arm frozen net wbcsnet2 with body_rate=0,head_rate=1 from teacher
arm adapt of wbcsnet2 ask adapt
arm stain-like of wbcsnet2 ask stain-like
arm few of wbcsnet2 learn 15 with epochs=2
arm alone net wbcsnet2 learn 15 with epochs=2
label wbcsnet2 Plain
label adapt Adapted
END
my $sets = 'one=' . tmp('one') . ' two=' . tmp('two');
($code, $said) = sh('experiments/elsewhere/rules --conf ' . tmp('small.conf') . " smoke $Job::tmp/runs $Job::tmp/results $sets >" . tmp('mk'));
ok($code == 0, 'rules') or print "# $said";
my $mk = read_file(tmp('mk'));
my @rule = $mk =~ m{^\S*/runs/(\S+)/run\.json:}mg;
# two folds of 4 arms at home, and of `few` elsewhere; 5 arms are asked elsewhere; the teacher
ok(@rule == 1 + 2 * (2 * 4 + 5 + 2), @rule . ' runs: the teacher, folds at home, the other set') or print "# @rule\n";
ok($mk =~ m{one-two/few/seed1/fold1/run\.json: \S*/one-one/wbcsnet2/seed1/fold0/run\.json \S*/two/dataset\.json.*\n.*train --data \S*/two .*--learn 15 --init \S*/one-one/wbcsnet2/seed1/fold0/weights\.safetensors --init-all},
   'a few cells of the other set: begun with the teacher\'s net');
ok($mk =~ m{one-one/frozen/seed1/fold0 .*body_rate=0.* --init \S*/teacher-of/seed1/foldall/weights\.safetensors --device}, 'frozen features come from the teacher of drawn cells, and their last layer is new');
ok($mk =~ m{evaluate --data \S*/two --weights \S*/one-one/wbcsnet2/seed1/fold0/\S+ --seed 1 --device \S+ --stain-like \S*/one --out}, 'the colours are the teacher\'s');
for my $bad (["smoke x y one=a", qr/usage/], ["smoke x y one=a One=b", qr/found 'One=b'/], ["smoke x y one=a one=b", qr/twice/], ["nowhere x y one=a two=b", qr/scale/]) {
    ($code, $said) = sh("experiments/elsewhere/rules $bad->[0]");
    ok($code != 0 && $said =~ $bad->[1], "refused: $bad->[0]") or print "# $said";
}
# A set is called by its folder, whatever the folder is called.
symlink tmp('one'), tmp($_) or die for '2024-b', "\xc3\x84";
($code, $said) = sh('make -n elsewhere SCALE=smoke NVCC= DATA1=' . tmp('2024-b') . ' DATA2=' . tmp("\xc3\x84"));
ok($said =~ m{elsewhere/rules smoke .* set2024b=\S*/2024-b set=\S*/\xc3\x84 }, 'a folder whose name begins with a digit, or has no plain letter') or print "# $said";
my $make = 'make --no-print-directory -s -f ' . tmp('mk') . " WBCSNET=$bin DEVICE=cpu THREADS=1 Q=@ elsewhere";
($code, $said) = sh($make);
ok($code == 0 && (() = $said =~ /^  TRAIN/mg) == @rule, 'all of them are run') or print "# $said";
($code, $said) = sh($make);
ok($code == 0 && $said !~ /TRAIN/, 'and not again') or print "# $said";
my $result = sub { my ($pair, $key) = @_; decode_json(read_file(tmp("results/$pair/results.json")))->{values}{"$pair/$key"}{value} };
mkdir tmp('out');
($code, $said) = sh('experiments/elsewhere/table --conf ' . tmp('small.conf') . " $Job::tmp/results $Job::tmp/out");
my %row = map { /"(.*)"$/; my @f = split; ($f[7] => \@f) } grep { !/^#/ } split /\n/, read_file(tmp('out/elsewhere.dat'));
ok($code == 0 && keys %row == 7, 'a line an arm') or print "# $said";
my ($plain, $adapt) = @row{qw(wbcsnet2 adapt)};
sub near { abs($_[0] - $_[1]) < 1e-3 }
ok(near($plain->[1], ($result->('one-one', 'wbcsnet2/accuracy') + $result->('two-two', 'wbcsnet2/accuracy')) / 2), 'home is the mean of the sets');
ok(near($plain->[4], ($result->('one-two', 'wbcsnet2/accuracy') + $result->('two-one', 'wbcsnet2/accuracy')) / 2) && $adapt->[1] eq 'NaN', 'elsewhere is the mean of the pairs');
ok(near($row{alone}[4], ($result->('one-one', 'alone/accuracy') + $result->('two-two', 'alone/accuracy')) / 2), 'cells alone are of the laboratory that is examined');
my $gain = decode_json(read_file(tmp('out/results.json')))->{values}{'elsewhere/adapt-vs-wbcsnet2/accuracy'};
ok(near($gain->{value}, $adapt->[4] - $plain->[4]) && $gain->{low} <= $gain->{value} && $gain->{high} >= $gain->{value}, 'a gain is the difference of the means, within its interval') or print "# @{[%$gain]}\n";
ok(read_file(tmp('out/table.tex')) =~ /^\\elsewhererow\{Adapted\}\{--\}\{[\d.]+\}\{[\d.]+\}\{[\d.]+\}\{\$[-+][\d.]+\$\}$/m, 'rows for the report');
($code, $said) = sh('experiments/elsewhere/table --conf ' . tmp('small.conf') . " --text $Job::tmp/results");
ok($code == 0 && $said =~ /^one, tested on two .*accuracy/m && $said =~ /^  Adapted .*p [\d.e-]+$/m, 'and text') or print "# $said";
done_testing();
