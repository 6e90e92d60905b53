#!/usr/bin/perl
# Recipes: every key in the help; values read, replaced and recorded; mistakes told with the nearest key.
use strict; use warnings;
use FindBin; use lib $FindBin::Bin; use Job;

make_set(tmp('set'), 6, [4, 4, 4, 4, 4]);
write_file(tmp('tiny.net'), "name tiny\ntitle Tiny\ninput 6 6 3\nfc fc1 units classes\nsoftmax loss\n");
write_file(tmp('tiny.conf'), "# a remark\nlearning_rate 0.002   # behind a value\n\nepochs 1\nbatch 4\r\n");

my ($code, $out, $err) = run('train', '--help');
my @keys = qw(learning_rate momentum l2 batch epochs shuffle last_batch normalise init init_std bn_statistics bn_decay augment class_weights head_rate body_rate);
ok($code == 0, 'train --help ends with 0');
ok($out =~ /^  $_ /m, "--help explains $_") for @keys;

($code, $out, $err) = run(job(out => 'a', with => 'shuffle=epoch,l2=0.5'));
ok($code == 0, 'a recipe with remarks, blank lines and CRLF is read') or print "# $err\n";
my %want = (learning_rate => '0.002', momentum => '0.9', l2 => '0.5', batch => 4, epochs => 1, shuffle => '"epoch"', last_batch => '"drop"',
            normalise => '"zerocenter"', init => '"normal"', init_std => '0.01', bn_statistics => '"final"', augment => '"none"', class_weights => '"none"');
ok(json_value(tmp('a/config.json'), $_) eq $want{$_}, "the record says $_ = $want{$_}") for sort keys %want;
ok(json_value(tmp('a/config.json'), 'with') eq '"shuffle=epoch,l2=0.5"', 'and what was replaced');

# What Notepad makes of a recipe and a net: a byte-order mark, carriage returns; or UTF-16. The record is the same.
my ($recipe, $net) = (read_file(tmp('tiny.conf')), read_file(tmp('tiny.net')));
sub as_notepad { return "\xef\xbb\xbf" . ($_[0] =~ s/\r?\n/\r\n/gr) }
write_file(tmp('notepad/tiny.conf'), as_notepad($recipe)), write_file(tmp('notepad/tiny.net'), as_notepad($net)) if mkdir tmp('notepad');
my $long = 'long-' x 16;
write_file(tmp("$long.conf"), read_file(tmp('tiny.conf')));
my ($too, $said, $why) = run(job(out => 'long', recipe => tmp("$long.conf")));
ok($too == 2 && $why =~ /a name of 80 letters; expected at most 63/ && !-e tmp('long'), 'a recipe whose name would be cut is refused') or print "# $too $why\n";
($code, $out, $err) = run(job(out => 'notepad/a', recipe => tmp('notepad/tiny.conf'), net => tmp('notepad/tiny.net'), with => 'shuffle=epoch,l2=0.5'));
ok($code == 0 && read_file(tmp('notepad/a/config.json')) eq read_file(tmp('a/config.json')), 'a recipe and a net as Notepad saves them are the same run') or print "# $code $err\n";
for my $file ('conf', 'net') {
    write_file(tmp("wide.$file"), "\xff\xfe" . join '', map { "$_\0" } split //, $file eq 'conf' ? $recipe : $net);
    ($code, $out, $err) = run(job(out => "wide-$file", $file eq 'conf' ? 'recipe' : 'net', tmp("wide.$file")));
    ok($code == 0, "a $file in UTF-16 is read") or print "# $code $err\n";
}

# The experiments' confs go through the same hands.
my ($plain, $marked) = (tmp('plain'), tmp('marked'));
for my $copy ($plain, $marked) {
    mkdir $copy;
    system 'cp', '-r', 'experiments', "$copy/" and die;
}
for my $conf (glob("$marked/experiments/*.conf"), glob("$marked/experiments/scales/*.conf")) { write_file($conf, as_notepad(read_file($conf))) }
my @rules = map { scalar qx(cd $_ && experiments/jobs quick 2>&1) } $plain, $marked;
ok($rules[0] eq $rules[1] && $rules[0] =~ /run\.json:/, 'experiments as Notepad saves them are the same jobs') or print '# ', substr($rules[1], 0, 300), "\n";

my @bad = (
    ['learning_rat 1', 'learning_rate', 'an unknown key names the nearest'],
    ['batch', 'without a value', 'a key without a value'],
    ['batch 0', 'from 1 to', 'a batch of 0'],
    ['batch 2.5', 'whole number', 'a batch of 2.5'],
    ['batch 8 9', "behind the value", 'two values'],
    ["batch 8\nbatch 8", 'second time', 'a key given twice'],
    ['momentum 1.5', 'from 0 to 1', 'a momentum above 1'],
    ['learning_rate nan', 'a number from', 'a rate that is no number'],
    ['learning_rate 1e-3x', 'a number from', 'a rate with a letter'],
    ['shuffle often', 'once|epoch', 'a word that is not one of them'],
);
for my $b (@bad) {
    write_file(tmp('bad.conf'), "epochs 1\n$b->[0]\n");
    ($code, $out, $err) = run(job(out => 'b', recipe => tmp('bad.conf')));
    ok($code == 3 && $err =~ /\Q$b->[1]\E/ && $err =~ /bad\.conf:[23]/, "$b->[2] is an error with file and line") or print "# $code $err\n";
}
for my $b (['epoch=2', 'did you mean epochs'], ['epochs=1,l2=0,epochs=2', 'epochs a second time'], ['epochs', 'key=value'], ['init=zero', 'normal|glorot|he']) {
    ($code, $out, $err) = run(job(out => 'b', with => $b->[0]));
    ok($code == 2 && $err =~ /\Q$b->[1]\E/, "--with $b->[0] is a usage error") or print "# $code $err\n";
}
for my $b ([fold => 4], [fold => 'some'], [folds => 1], [threads => -1], [cells => -3], [seed => -1]) {
    ($code, $out, $err) = run(job(out => 'b', @$b));
    ok($code == 2 && $err =~ /--$b->[0]/, "--$b->[0] $b->[1] is a usage error");
}
($code, $out, $err) = run(job(out => 'b', recipe => tmp('none.conf')));
ok($code == 3 && $err =~ /none\.conf/, 'a recipe file that is not there is told');
ok(!-e tmp('b/config.json'), 'none of these mistakes claimed the run folder');
done_testing();
