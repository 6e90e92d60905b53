#!/usr/bin/perl
# wbcsnet folds: what it prints and writes, counted again from the file and from the data set.
use strict; use warnings;
use FindBin; use lib $FindBin::Bin; use Job;

make_set(tmp('set'), 4, [13, 9, 4, 11, 8]);
# groups: three cells each of the neutrophils, two of the lymphocytes; the others stand alone
my @line = split /\n/, read_file(tmp('set/labels.csv'));
for (@line) { s/^((neutrophil).cell0*(\d+)\.tif,\w+),,/"$1,n" . int(($3 - 1) \/ 3) . ','/e; s/^((lymphocyte).cell0*(\d+)\.tif,\w+),,/"$1,l" . int(($3 - 1) \/ 2) . ','/e }
write_file(tmp('set/labels.csv'), join("\n", @line, ''));
my %group = map { my @f = split /,/; $f[0] => $f[2] || $f[0] } @line;

my ($code, $out, $err) = run('folds', '--folds', 4, '--seed', 3, '--out', tmp('folds.csv'), tmp('set'));
ok($code == 0, 'folds exits 0') or print "# $err\n";
my @row = map { [split /,/, $_, -1] } split /\n/, read_file(tmp('folds.csv'));
ok(join(',', @{shift @row}) eq 'file,class,group,fold' && @row == 45, 'a line for each of 45 cells');
my (%cells, %groups, %fold_of, $split);
for (@row) {
    my ($file, $class, $group, $fold) = @$_;
    $cells{$fold}{$class}++, $groups{$fold}{$group{$file}}++;
    $split++ if ($fold_of{$group{$file}} //= $fold) != $fold || $group ne ($group{$file} eq $file ? '' : $group{$file});
}
ok(!$split && %fold_of == 45 - 13 - 11 + 5 + 6, 'no group is cut, and each is named');
my @printed = map { [split ' '] } split /\n/, $out;
ok("@{shift @printed}" eq "fold @Job::class cells groups", 'columns: the classes, cells, groups');
my $want = join '|', map { my $f = $_; my $n = 0; $n += $cells{$f}{$_} // 0 for @Job::class;
    join ' ', $f, (map { $cells{$f}{$_} // 0 } @Job::class), $n, scalar keys %{$groups{$f}} } 0 .. 3;
ok(join('|', map { "@$_" } @printed) eq $want, 'the printed counts are those of the file') or print "# $out";
for my $class (qw(eosinophil basophil monocyte)) {
    my @n = sort { $a <=> $b } map { $cells{$_}{$class} // 0 } 0 .. 3;
    ok($n[3] - $n[0] <= 1, "$class: stratified to within one cell (@n)");
}
run('folds', '--folds', 4, '--seed', 3, '--out', tmp('again.csv'), tmp('set'));
run('folds', '--folds', 4, '--seed', 4, '--out', tmp('other.csv'), tmp('set'));
ok(sha(tmp('again.csv')) eq sha(tmp('folds.csv')) && sha(tmp('other.csv')) ne sha(tmp('folds.csv')), 'a seed names a deal');
write_file(tmp('tiny.net'), "name tiny\ninput 4 4 3\nfc fc1 units classes\nsoftmax loss\n");
write_file(tmp('tiny.conf'), "batch 8\nepochs 1\n");
run(job(out => 'run', seed => 3, quiet => 1));
ok(sha(tmp('run/folds.csv')) eq sha(tmp('folds.csv')), 'the deal is the one that train uses');

($code, $out) = run('folds', '--folds', 2, '--cells', 20, tmp('set'));
my $sum = 0;
$sum += (split)[6] for (split /\n/, $out)[1, 2];
ok($code == 0 && $sum == 20, 'a subset of 20 cells');
($code, $out, $err) = run('folds', '--folds', 5, tmp('set'));
ok($code == 3 && $err =~ /4 groups of class basophil; expected at least 5/, 'fewer basophils than folds are refused') or print "# $code $err";
($code, $out) = run('folds', '--folds', 5, '--lenient', tmp('set'));
ok($code == 0 && (split /\n/, $out) == 6, 'or dealt, when that is asked for');
sub taken { join '', map { "$_\n" } $_[0] =~ /^wbcsnet: warning: (--.*)$/mg }
for (['3', 20, 'each class has 4 of them, or all that it has'], ['46', 45, 'there are no more']) {
    ($code, $out, $err) = run('folds', '--folds', 4, '--cells', $_->[0], tmp('set'));
    ok($code == 0 && taken($err) eq "--cells: takes $_->[1] cells, not $_->[0]: $_->[2]\n", "--cells $_->[0] is another number, and told") or print "# $code $err\n";
}
($code, $out, $err) = run('folds', '--folds', 4, '--cells', 45, tmp('set'));
ok($code == 0 && taken($err) eq '', 'no word where it is the number') or print "# $err";
($code, $out, $err) = run(job(out => 'few', seed => 3, quiet => 1, cells => 500, learn => 2));
ok(taken($err) eq "--cells: takes 45 cells, not 500: there are no more\n--learn: takes 5 cells, not 2: each class has 1 of them, or all that it has\n",
   'the same of train, and of --learn') or print "# $code $err\n";
for (['--folds', 1, tmp('set')], ['--cells', -1, tmp('set')], []) {
    ($code, $out, $err) = run('folds', @$_);
    ok($code == 2 && !$out, 'usage: folds ' . join ' ', map { s/.*\///r } @$_);
}
($code, $out, $err) = run('folds', '--folds', 2, '--out', tmp('no/folds.csv'), tmp('set'));
ok($code == 1 && $err =~ /no\/folds\.csv: found cannot write/, 'a file that cannot be written is told');
done_testing();
