#!/usr/bin/perl
# Nets that see grey: luma by hand, the same cells in training and in use, features; and every net of other people through the program.
use strict; use warnings;
use FindBin; use lib $FindBin::Bin; use Job;

my $rows = make_set(tmp('set'), 12, [10, 8, 6, 8, 8]);
write_file(tmp('grey.net'), "name grey\ntitle Grey\ninput 12 12 1\nconv conv1 filters 3 kernel 5\ntanh t amplitude 1.7159 slope 0.66666667\nfc out units classes\nsoftmax loss\n");
write_file(tmp('tiny.conf'), "batch 8\nepochs 2\n");
my ($code, $out, $err) = run(job(out => 'all', fold => 'all', net => tmp('grey.net'), quiet => 1));
ok($code == 0, 'a net with one channel is trained') or print "# $err\n";
my @sum;
for my $r (@$rows) {                                 # round(0.299 R + 0.587 G + 0.114 B), exactly, in whole numbers
    my @p = unpack 'C*', $r->[3];
    $sum[$_] += int((299 * $p[3 * $_] + 587 * $p[3 * $_ + 1] + 114 * $p[3 * $_ + 2] + 500) / 1000) for 0 .. 143;
}
my $mean = weights(tmp('all/weights.safetensors'))->{'input.mean'};
my $worst = 0;
for (0 .. 143) { my $d = abs($mean->[$_] - $sum[$_] / @$rows); $worst = $d if $d > $worst }
ok(@$mean == 144 && $worst < 1e-4, "its mean image is that of the cells' luma (worst difference $worst)");

run(job(out => 'a', net => tmp('grey.net'), quiet => 1));
my $w = tmp('a/weights.safetensors');
my %told = map { $_->[0] => $_ } log_rows(tmp('a/predictions.csv'));
my @held = sort keys %told;
($code, $out, $err) = run('predict', '--weights', $w, '--csv', map { tmp("set/$_") } @held);
my @row = map { [split /,/] } split /\n/, $out;
shift @row; $worst = 0;
for my $i (0 .. $#row) { for (0 .. 4) { my $d = abs($row[$i][2 + $_] - $told{$held[$i]}[3 + $_]); $worst = $d if $d > $worst } }
ok($code == 0 && @row == @held && $worst <= 1e-6, "predict sees the same grey (worst difference $worst)") or print "# $err\n";
($code, $out, $err) = run('features', '--weights', $w, '--data', tmp('set'), '--out', tmp('f'));
ok($code == 0 && -s tmp('f/conv1.png') && -s tmp('f/cell.png'), 'features shows what it saw') or print "# $err\n";

write_file(tmp('two.net'), "name two\ninput 12 12 2\nfc out units classes\nsoftmax loss\n");
($code, $out, $err) = run(job(out => 'two', net => tmp('two.net')));
ok($code == 3 && $err =~ /found an input of 2 channels; expected 3: red, green, blue; or 1: grey/, 'an input of two channels is refused');

# --- small editions of other people's nets: two epochs, and their weights can be used ---
write_file(tmp('plain.conf'), read_file('experiments/recipes/plain.conf'));
for my $n (['lenet5', 'f1=2,f2=4,fc1=8,fc2=8'], ['lenet5-colour', 'size=20,f1=2,f2=4,fc1=8,fc2=8'], ['alexnet-70', 'f1=4,f2=4,f3=6,f4=6,f5=4,fc=8'],
           ['vgg16', 'size=32,f1=2,f2=3,f3=4,f4=4,f5=4,fc=8'], ['resnet18', 'size=32,f1=2,f2=3,f3=4,f4=5']) {
    my ($name, $set) = @$n;
    my ($train, undef, $why) = run(job(out => $name, net => "experiments/nets/$name.net", set => $set, recipe => tmp('plain.conf'), with => 'epochs=2,batch=8,learning_rate=0.001', quiet => 1));
    ($code, $out, $err) = run('predict', '--weights', tmp("$name/weights.safetensors"), '--csv', tmp("set/$held[0]"));
    ok($train == 0 && $code == 0 && $out =~ /\n.*,[\d.e-]+$/, "$name is trained and used") or print "# $why $err\n";
}
done_testing();
