#!/usr/bin/perl
# A split that a set's makers published: kept by import, followed by folds, train, classical and the experiments.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Job;

my ($code, $out, $err);
my @class = @Job::class;
# Cells of 16 x 16, each class with a colour of its own, as a table of files with a column split.
make_set(tmp('drawn'), 16, [(9) x 5]);
my (@rows, %part);
for my $c (@class) {
    for my $i (1 .. 9) {
        my $word = $i <= 5 ? 'Train' : $i <= 6 ? 'valid' : $i <= 8 ? 'TEST' : '';
        push @rows, "$c/cell00$i.tif,$c,$word";
        $part{"$c/cell00$i.tif"} = { Train => 'train', valid => 'val', TEST => 'test', '' => '' }->{$word};
    }
}
write_file(tmp('drawn/split.csv'), join "\n", 'file,class,split', @rows, '');
my @import = ('import', '--synthetic', '--size', 16, '--csv', tmp('drawn/split.csv'), tmp('drawn'));
($code, $out, $err) = run(@import, tmp('set'));
ok($code == 0 && $out =~ /its own split: 25 train, 5 val, 10 test, 5 in none; train --folds split/, 'import keeps a column split, and says so') or print "# $code $out $err\n";
my @labels = split /\n/, read_file(tmp('set/labels.csv'));
ok($labels[0] eq 'file,class,group,sha256,split', '... behind the other columns');
my %kept = map { my @f = split /,/, $_, -1; ($f[0] => $f[4]) } @labels[1 .. $#labels];
ok(join(' ', map { "$_=$kept{$_}" } sort keys %kept) eq join(' ', map { "$_=$part{$_}" } sort keys %part), '... in three words, or none');
run('import', '--size', 16, tmp('set'), tmp('again'));
ok(read_file(tmp('again/labels.csv')) eq read_file(tmp('set/labels.csv')), '... and from a set of ours again');
($code, $out, $err) = run('data', tmp('set'));
ok($out =~ /a split of its own/, 'data tells it');
write_file(tmp('drawn/odd.csv'), "file,class,split\n$rows[0]\n$class[1]/cell001.tif,$class[1],Quiz\n");
($code, $out, $err) = run('import', '--csv', tmp('drawn/odd.csv'), tmp('drawn'), tmp('odd'));
ok($code == 3 && $err =~ /odd\.csv:3: found the split 'Quiz'; expected train, val or test/, 'another word is refused') or print "# $err\n";

# Folders for the parts.
for my $c (@class) {
    for my $i (1 .. 9) {
        my $p = $part{"$c/cell00$i.tif"} or next;
        my $to = tmp('parts') . "/$p/$c";
        system 'mkdir', '-p', $to;
        write_file("$to/cell00$i.tif", read_file(tmp("drawn/$c/cell00$i.tif")));
    }
}
($code, $out, $err) = run('import', '--synthetic', '--size', 16, tmp('parts'), tmp('set2'));
ok($code == 0 && $out =~ /25 train, 5 val, 10 test; train/ && -e tmp("set2/$class[0]/train_cell001.tif"), 'folders train, val and test are a split too') or print "# $code $out $err\n";

# ---- followed ----
($code, $out, $err) = run('folds', tmp('set'), '--folds', 'split', '--out', tmp('folds.csv'));
ok($code == 0 && $out =~ /^test (?: +2){5} +10\n^train(?: +5){5} +25$/m, 'folds shows it') or print "# $code $out $err\n";
my %fold = map { my @f = split /,/; ($f[0] => $f[3]) } grep { !/^file/ } split /\n/, read_file(tmp('folds.csv'));
ok(!grep({ ($fold{$_} // -1) != ($part{$_} eq 'test' ? 0 : $part{$_} eq 'train' ? 1 : -1) } keys %part), '... test is fold 0, train fold 1, the rest not used');
write_file(tmp('tiny.net'), "name tiny\ntitle Tiny\ninput 16 16 3\nfc fc1 units classes\nsoftmax loss\n");
write_file(tmp('tiny.conf'), "batch 5\nepochs 3\n");
my @train = ('train', '--data', tmp('set'), '--net', tmp('tiny.net'), '--recipe', tmp('tiny.conf'), '--threads', 1, '--quiet');
($code, $out, $err) = run(@train, '--folds', 'split', '--out', tmp('run'));
my @said = split /\n/, read_file(tmp('run/predictions.csv'));
ok($code == 0 && @said == 11 && !grep({ $part{(split /,/)[0]} ne 'test' } @said[1 .. 10]), 'train --folds split tests on the part test') or print "# $code $err\n";
ok(json_value(tmp('run/run.json'), 'fold') eq '0' && json_value(tmp('run/run.json'), 'folds') eq '1', '... and its record is that of no cross-validation');
# Other cells in val and in no part change nothing that is learned: they are not looked at.
write_file(tmp('drawn/less.csv'), join "\n", 'file,class,split', grep({ /Train|TEST/ } @rows), '');
run('import', '--synthetic', '--size', 16, '--csv', tmp('drawn/less.csv'), tmp('drawn'), tmp('less'));
run(@train, '--data', tmp('less'), '--folds', 'split', '--out', tmp('run-less'));
my ($w, $less) = map { weights(tmp("$_/weights.safetensors"))->{''} } 'run', 'run-less';
ok(length $w && $w eq $less, '... what is in val, or nowhere, has no part in it');
($code, $out, $err) = run(@train, '--data', tmp('drawn'), '--folds', 'split', '--out', tmp('none'));
ok($code == 3 && $err =~ /no split of its own.*give --folds a number/s, 'a set without a split') or print "# $err\n";
for my $wrong (['--folds', 'splat', qr/--folds: found 'splat'; expected 2 or more, or split/], ['--folds', '1', qr/--folds: found '1'/], ['--folds', 'split', '--fold', '1', qr/--fold: found '1'/]) {
    my $like = pop @$wrong;
    ($code, $out, $err) = run(@train, @$wrong, '--out', tmp('none'));
    ok($code == 2 && $err =~ $like, "@$wrong is refused") or print "# $code $err\n";
}
($code, $out, $err) = run('classical', '--data', tmp('set'), '--folds', 'split', '--out', tmp('classical'));
if ($err =~ /LAPACK/) { skip(1, 'no LAPACK here') }
else { ok($code == 0 && read_file(tmp('classical/predictions.csv')) =~ tr/\n// == 11, 'classical follows it too') or print "# $code $err\n" }
# A group on both sides.
write_file(tmp('drawn/parted.csv'), join "\n", 'file,class,split,group', map({ "$_," . (/0(05|07)\.tif/ ? 'g' : '') } @rows), '');
run('import', '--synthetic', '--size', 16, '--csv', tmp('drawn/parted.csv'), tmp('drawn'), tmp('parted'));
($code, $out, $err) = run('folds', tmp('parted'), '--folds', 'split');
ok($code == 0 && $err =~ /1 of 1 groups have cells in train and in test/, 'a group on both sides is told') or print "# $code $err\n";
# A class that is only tested on.
write_file(tmp('drawn/thin.csv'), join "\n", 'file,class,split', map({ s/^(monocyte.*),Train$/$1,val/r } @rows), '');
run('import', '--synthetic', '--size', 16, '--csv', tmp('drawn/thin.csv'), tmp('drawn'), tmp('thin'));
($code, $out, $err) = run('folds', tmp('thin'), '--folds', 'split');
ok($code == 3 && $err =~ /no cell of class monocyte in the part train/, 'a class of which nothing is learned') or print "# $code $err\n";

# ---- experiments ----
($code, $out, $err) = run('summarise', '--experiment', 'x', '--out', tmp('results'), map { tmp("x/$_/seed1/fold0") } qw(a b)) if
    !system('mkdir', '-p', tmp('x/a/seed1'), tmp('x/b/seed1')) && rename(tmp('run'), tmp('x/a/seed1/fold0')) && (run(@train, '--folds', 'split', '--with', 'epochs=4', '--out', tmp('x/b/seed1/fold0')))[0] == 0;
ok($code == 0 && read_file(tmp('results/results.json')) !~ /\b(nan|inf)\b/i, 'summarise compares two arms by a split') or print "# $code $err\n";
mkdir tmp('lab');
system "cp -r experiments '" . tmp('lab') . "'; printf 'title A split\\ndata 1\\nfolds split\\narm one net wbcsnet2 recipe faithful\\n' >'" . tmp('lab/experiments/bysplit.conf') . "'";
my $rules = `cd '@{[tmp('lab')]}' && experiments/jobs quick 2>&1`;
ok($rules =~ m{bysplit/one/seed1/fold0 \S+ train --data \S+ .*--folds split --fold 0 } && $rules !~ m{bysplit/one/seed1/fold1}, 'an experiment says folds split') or print '# ', substr($rules, 0, 300), "\n";
done_testing;
