#!/usr/bin/perl
# evaluate: a made net on made cells, whose answers are counted by hand; ensembles, groups, classes by name, run folders that summarise reads.
use strict; use warnings;
use FindBin; use lib $FindBin::Bin; use Job; use JSON::PP;
use Digest::SHA qw(sha256_hex); use File::Path qw(make_path);

# A set of one-pixel cells: [class, group, red, green, blue] each; the classes in that order.
sub set_of {
    my ($folder, $classes, @cell) = @_;
    my (%n, @row);
    for my $c (@cell) {
        my ($class, $group, @rgb) = @$c;
        my $file = sprintf '%s/c%02d.tif', $class, ++$n{$class};
        make_path(tmp("$folder/$class"));
        my $bytes = Job::tiff(1, 1, pack 'C3', @rgb);
        write_file(tmp("$folder/$file"), $bytes);
        push @row, "$file,$class,$group," . sha256_hex($bytes) . "\n";
    }
    my $labels = join '', "file,class,group,sha256\n", sort @row;
    write_file(tmp("$folder/labels.csv"), $labels);
    write_file(tmp("$folder/dataset.json"), encode_json({ name => $folder, kind => 'synthetic', source => 'a test', height => 1, width => 1, classes => $classes,
        counts => [map { $n{$_} // 0 } @$classes], cells => scalar @cell, command => '', sha256 => sha256_hex($labels) }));
}
# Weights W of a net of one layer, put in place of trained ones: each class's logit is $scale ln 2 times a channel. So the probabilities are 2**x over a sum.
sub made_weights {
    my ($from, $to, $scale, @order) = @_;
    my $bytes = read_file($from) =~ s/"data_sum"/"data_som"/r =~ s/"header_sum"/"header_som"/r;
    my $w = pack 'f<*', map { my $class = $_; map { $_ == $class ? $scale * log 2 : 0 } 0 .. 2 } @order;
    for my $t (['fc1.weight', $w], ['fc1.bias', pack 'f<5', (0) x 5]) {
        my ($at) = $bytes =~ /"\Q$t->[0]\E":\{[^}]*"data_offsets":\[(\d+)/ or die;
        substr($bytes, 8 + unpack('Q<', $bytes) + $at, length $t->[1]) = $t->[1];
    }
    write_file($to, $bytes);
}
my ($code, $out, $err);
sub evaluate { ($code, $out, $err) = run('evaluate', '--device', 'cpu', '--threads', 1, @_); $code }
sub values_of { evaluate('--json', @_); my $j = eval { decode_json($out) }; print "# exit $code $err" unless $j; $j // {} }
sub near { my ($x, $y) = @_; defined $x && abs($x - $y) < 2e-6 }
my $file = sub { ('--weights', tmp($_[0])) };

write_file(tmp('tiny.net'), "name one\ntitle One layer\ninput 1 1 3\nfc fc1 units classes\nsoftmax loss\n");
write_file(tmp('tiny.conf'), "batch 4\nepochs 1\nnormalise none\nlearning_rate 0.00001\n");
my @five = @Job::class;
set_of('school', \@five, map { my $c = $_; map { [$c, '', $_, 2 * $_, 3] } 1 .. 4 } @five);
($code, $out, $err) = run(job(data => tmp('school'), out => 'run', quiet => 1, device => 'cpu'));
ok($code == 0, 'a net of one layer is trained') or print "# $err";
made_weights(tmp('run/weights.safetensors'), tmp('w'), 1, 0 .. 4);

# Red is a neutrophil, green an eosinophil, blue a basophil: 3 gives 8/12, 1 gives 2/6.
my @cells = ((['neutrophil', '', 3, 0, 0]) x 3, ['neutrophil', '', 0, 3, 0], (['eosinophil', '', 0, 3, 0]) x 2, (['eosinophil', '', 0, 0, 1]) x 2, (['basophil', '', 0, 0, 1]) x 2);
set_of('far', \@five, @cells);
my $j = values_of('--data', tmp('far'), $file->('w'));
ok($code == 0 && $j->{cells} == 10 && $j->{groups} == 10 && $j->{right} == 7, 'ten cells, seven right');
ok(encode_json($j->{confusion}) eq '[[3,1,0,0,0],[0,2,2,0,0],[0,0,2,0,0],[0,0,0,0,0],[0,0,0,0,0]]', 'the matrix, counted by hand');
ok(near($j->{accuracy}{value}, 0.7) && abs($j->{accuracy}{low} - 0.3968) < 5e-5 && abs($j->{accuracy}{high} - 0.8922) < 5e-5, 'accuracy 7 of 10, Wilson 39.68 to 89.22');
ok(near($j->{balanced_accuracy}{value}, (3/4 + 2/4 + 1) / 3), 'balanced accuracy (3/4 + 2/4 + 1) / 3, over the classes that are there');
ok(near($j->{macro_precision}{value}, (1 + 2/3 + 1/2) / 3) && near($j->{macro_f1}{value}, (6/7 + 4/7 + 4/6) / 3), 'macro precision and F1');
ok(near($j->{recall}{eosinophil}{value}, 0.5) && near($j->{precision}{eosinophil}{value}, 2/3) && abs($j->{precision}{eosinophil}{low} - 0.2077) < 5e-5, 'recall 2 of 4, precision 2 of 3, Wilson from 20.77');
ok(exists $j->{recall}{monocyte} && !defined $j->{recall}{monocyte}{value} && !defined $j->{precision}{monocyte}{value}, 'no recall without cells, no precision without answers');
my $e = (abs(5 - 6 * 8/12) + abs(2 - 4 * 2/6)) / 10;
ok(near($j->{calibration_error}{value}, $e) && near($j->{mean_confidence}, (6 * 8/12 + 4 * 2/6) / 10), "calibration error (|5 - 4| + |2 - 4/3|) / 10, mean confidence 16/30");
ok($j->{calibration_error}{low} <= $e && $j->{calibration_error}{high} >= $e, 'within its interval');
my @bin = map { "$_->{from} $_->{cells} " . ($_->{right}{value} // '-') } grep { $_->{cells} } @{$j->{reliability}};
ok("@bin" eq '0.3 4 0.5 0.6 6 0.833333333', "two bins: @bin") or print "# $out";
evaluate('--data', tmp('far'), $file->('w'));
ok($code == 0 && $out =~ /^accuracy +70\.0 \(39\.7 to 89\.2\)$/m && $out =~ /^eosinophil +0 +2 +2 +0 +0 +50\.0 \(/m && $out =~ /no cell of class monocyte/, 'the same as text, which names the classes that are missing') or print "# $out $err";
($code, $out, $err) = run('evaluate', '--data', tmp('school'), $file->('w'));
ok($code == 0 && $err =~ /learned from this very set/, 'a net that is tested on its own set is told');

# groups
my $i = 0;
set_of('grouped', \@five, map { my @c = @$_; $c[1] = 'slide' . int($i++ / 3); [@c] } @cells);
my $g = values_of('--data', tmp('grouped'), $file->('w'));
ok($g->{groups} == 4 && near($g->{accuracy}{value}, 0.7), 'the same cells in four groups');
my @wider = map { my $k = $_; my ($w, $s) = map { $_->{$k}{high} - $_->{$k}{low} } $g, $j; sprintf '%.2f > %.2f', $w, $s } qw(accuracy calibration_error);
ok(!(grep { my ($w, $s) = split / > /; !($w > $s) } @wider), "have wider intervals: @wider");

# classes by name
my %shuffled = map { $_ => ucfirst } @five;
set_of('order', [map { $shuffled{$_} } reverse @five], map { my @c = @$_; $c[0] = $shuffled{$c[0]}; [@c] } @cells);
my $o = values_of('--data', tmp('order'), $file->('w'));
ok("@{$o->{classes}}" eq 'Monocyte Lymphocyte Basophil Eosinophil Neutrophil' && near($o->{accuracy}{value}, 0.7), "the set's classes in another order and spelling are matched by name");
ok(encode_json($o->{confusion}) eq '[[0,0,0,0,0],[0,0,0,0,0],[0,0,2,0,0],[0,0,2,2,0],[0,0,0,1,3]]', '... and the matrix is turned');
set_of('two', ['basophil', 'neutrophil'], grep { $_->[0] ne 'eosinophil' } @cells);
my $t = values_of('--data', tmp('two'), $file->('w'));
ok($t->{right} == 5 && $t->{cells} == 6 && "@{$t->{classes}}" eq 'basophil neutrophil eosinophil lymphocyte monocyte', 'a set with fewer classes: its own first, then what the net can say besides');
set_of('blasts', [@five, 'blast', 'giant'], @cells, (['blast', '', 9, 9, 9]) x 3);
evaluate('--data', tmp('blasts'), $file->('w'));
ok($code == 3 && $err =~ /3 cells of classes that the weights do not know: blast \(3\); expected neutrophil, .*\n  hint: --ignore-unknown/, 'unknown classes are refused, counted, with the way out') or print "# $err";
my $b = values_of('--data', tmp('blasts'), '--ignore-unknown', $file->('w'));
ok($code == 0 && $b->{ignored} == 3 && $b->{cells} == 10 && near($b->{accuracy}{value}, 0.7) && $err =~ /left out 3 cells.*blast/, '--ignore-unknown leaves them out and says so');
set_of('alien', ['blast', 'giant'], (['blast', '', 9, 9, 9]) x 3);
ok(evaluate('--data', tmp('alien'), '--ignore-unknown', $file->('w')) == 3 && $err =~ /no cell of a class that the weights know/, 'a set of other classes alone is refused');

# ensembles
made_weights(tmp('run/weights.safetensors'), tmp('w2'), 2, 0 .. 4);
evaluate('--data', tmp('far'), $file->('w'), $file->('w2'), '--out', tmp('el/both/seed1/fold0'));
my ($first) = log_rows(tmp('el/both/seed1/fold0/predictions.csv'));
ok($code == 0 && $out =~ /the mean of 2 nets/ && $first->[0] =~ /^basophil/ && near($first->[5], (2/6 + 4/8) / 2), 'an ensemble answers with the mean of its probabilities') or print "# @$first $err";
my $both = read_file(tmp('el/both/seed1/fold0/predictions.csv'));
evaluate('--data', tmp('far'), '--out', tmp('turned'), $file->('w2'), tmp('w'));
ok($code == 0 && read_file(tmp('turned/predictions.csv')) eq $both && json_value(tmp('turned/run.json'), 'identity') eq json_value(tmp('el/both/seed1/fold0/run.json'), 'identity'), 'in any order, weights as words too: the same run') or print "# $err";
ok(evaluate('--data', tmp('far'), $file->('w'), $file->('w')) == 2 && $err =~ /again/, 'the same weights twice are a slip: exit 2');
write_file(tmp('other.net'), "name other\ntitle Other\ninput 1 1 3\nfc fc1 units 4\nrelu relu1\nfc fc2 units classes\nsoftmax loss\n");
run(job(data => tmp('school'), out => 'other', quiet => 1, net => tmp('other.net')));
ok(evaluate('--data', tmp('far'), $file->('w'), $file->('other/weights.safetensors')) == 3 && $err =~ /another net than in/, 'another net is no part of the ensemble: exit 3');
# a net that learned the classes in another order
set_of('school2', [reverse @five], map { my $c = $_; map { [$c, '', $_, 2 * $_, 3] } 1 .. 4 } @five);
run(job(data => tmp('school2'), out => 'run2', quiet => 1, device => 'cpu'));
made_weights(tmp('run2/weights.safetensors'), tmp('w3'), 1, reverse 0 .. 4);
my $r = values_of('--data', tmp('far'), $file->('w3'));
ok(encode_json($r->{confusion}) eq encode_json($j->{confusion}), "weights with the classes in another order give the set's matrix");
evaluate('--data', tmp('far'), $file->('w'), $file->('w3'), '--out', tmp('mixed'));
($first) = log_rows(tmp('mixed/predictions.csv'));
ok($code == 0 && near($first->[5], 2/6), '... and an ensemble adds class to class') or print "# @$first $err";
# one net: the probabilities of predict, to the last digit
evaluate('--data', tmp('far'), $file->('w'), '--out', tmp('el/one/seed1/fold0'));
my $shown = $out;
my %told = map { ("$_->[0]" => join ',', @$_[3 .. 7]) } log_rows(tmp('el/one/seed1/fold0/predictions.csv'));
($code, $out, $err) = run('predict', $file->('w'), '--csv', '--device', 'cpu', map { tmp("far/$_") } sort keys %told);
my @line = map { [split /,/] } split /\n/, $out; shift @line;
ok(@line == 10 && join(' ', map { join ',', @$_[2 .. 6] } @line) eq join(' ', map { $told{$_} } sort keys %told), 'one net gives the probabilities of predict, to the last digit');

# the run folder
my @files = map { s{.*/}{}r } glob tmp('el/one/seed1/fold0/*');
ok("@files" eq 'config.json confusion.dat evaluation.json folds.csv log.csv predictions.csv reliability.dat run.json', "the folder holds @files");
ok(read_file(tmp('el/one/seed1/fold0/reliability.dat')) =~ /^# .*\n0\.3 0\.4 4 0\.333333 0\.5 \S+ \S+\n0\.6 0\.7 6 0\.666667 0\.833333 \S+ \S+\n$/, 'reliability.dat has a line a bin');
ok(read_file(tmp('el/one/seed1/fold0/confusion.dat')) =~ /^1 2 2 0\.5 "eosinophil" "basophil"$/m, 'confusion.dat a line a cell of the matrix');
evaluate('--data', tmp('far'), $file->('w'), '--out', tmp('el/one/seed1/fold0'));
ok($code == 0 && $out eq tmp('el/one/seed1/fold0') . ": finished already\n$shown", 'given again it says that it is finished, and the same numbers') or print "# $out$err";
my $again = values_of('--data', tmp('far'), $file->('w'), '--out', tmp('el/one/seed1/fold0'));
ok($err =~ /finished already/ && near($again->{calibration_error}{low}, $j->{calibration_error}{low}) && near($again->{macro_f1}{high}, $j->{macro_f1}{high}), 'with --json the object alone is on standard output');
if (system('gnuplot --version >/dev/null 2>&1')) { skip(1, 'no gnuplot here') }
else {
    my $drawn = system('gnuplot', '-c', 'figures/evaluation.gp', tmp('el/one/seed1/fold0'), tmp('picture.svg'));
    my $svg = read_file(tmp('picture.svg'));
    ok(!$drawn && $svg =~ m{</svg>\s*$} && $svg =~ /lymphocyte/ && $svg =~ /confidence/, 'gnuplot draws matrix and reliability from them');
}
my $kept = read_file(tmp('el/one/seed1/fold0/predictions.csv'));
write_file(tmp('el/one/seed1/fold0/predictions.csv'), $kept =~ s/0\./1./r);
evaluate('--data', tmp('far'), $file->('w'), '--out', tmp('el/one/seed1/fold0'));
ok($code == 0 && $err =~ /predictions\.csv is not as it was written/ && read_file(tmp('el/one/seed1/fold0/predictions.csv')) eq $kept, 'a damaged folder is made again');
ok(evaluate('--data', tmp('grouped'), $file->('w'), '--out', tmp('el/one/seed1/fold0')) == 3 && $err =~ /another configuration: data\.sha256/, 'another set does not go into it: exit 3');
ok(evaluate('--data', tmp('far'), $file->('w2'), '--out', tmp('el/one/seed1/fold0')) == 3 && $err =~ /another configuration: init/, 'nor do other weights');
ok(evaluate('--data', tmp('far'), $file->('w'), '--out', tmp('run')) == 3 && $err =~ /another configuration/, "nor anything into a trained net's folder");
($code, $out, $err) = run('summarise', '--experiment', 'el', '--out', tmp('sum'), map { tmp("el/$_/seed1/fold0") } 'one', 'both');
my $v = $code ? {} : decode_json(read_file(tmp('sum/results.json')))->{values};
ok($code == 0 && near($v->{'el/one/accuracy'}{value} / 100, 0.7) && near($v->{'el/one/accuracy'}{low} / 100, $j->{accuracy}{low}), 'summarise reads it and says the same') or print "# $code $err";
ok(!grep({ !near($v->{"el/one/$_->[0]"}{low} / 100, $j->{$_->[1]}{low}) } ['recall', 'balanced_accuracy'], ['f1', 'macro_f1'], ['precision', 'macro_precision']), 'with the same intervals');
ok(exists $v->{'el/one-vs-both/accuracy'}{p} && $v->{'el/one-vs-both/cells'}{value} == 10 && $v->{'el/one/end/loss'}{text} eq '---', 'arms are compared cell by cell; what was not learned is a dash');

# the pipeline before nets keeps weights too, when it is asked to
run('synth', '--counts', '12,8,8,8,8', '--size', 40, tmp('drawn'));
my @classical = ('classical', '--data', tmp('drawn'), '--folds', 4, '--fold', 0, '--threads', 1);
($code, $out, $err) = run(@classical, '--save', '--out', tmp('saved'));
if ($code == 1 && $err =~ /LAPACK/) { skip(11, 'no LAPACK here') }
else {
    ok(-s tmp('saved/weights.safetensors') && json_value(tmp('saved/run.json'), 'weights_sha256') eq '"' . sha(tmp('saved/weights.safetensors')) . '"', 'classical --save leaves weights, and its record names them');
    run(@classical, '--out', tmp('plain'));
    ok(!-e tmp('plain/weights.safetensors') && read_file(tmp('plain/predictions.csv')) eq read_file(tmp('saved/predictions.csv')), 'without it there are none, and the answers are the same');
    ($code, $out, $err) = run(@classical, '--save', '--out', tmp('plain'));
    ok($code == 0 && $err =~ /finished already, and without weights/, 'a finished fold without weights is told');
    evaluate('--data', tmp('drawn'), $file->('saved/weights.safetensors'), '--out', tmp('el/rules/seed1/fold0'));
    %told = map { $_->[0] => join ',', @$_ } log_rows(tmp('el/rules/seed1/fold0/predictions.csv'));
    my @held = log_rows(tmp('saved/predictions.csv'));
    ok($code == 0 && @held > 5 && !grep({ join(',', @$_) ne $told{$_->[0]} } @held), 'evaluate gives its held-out cells the same probabilities, to the last digit') or print "# $code $err";
    run('synth', '--counts', '6,4,4,4,4', '--size', 60, '--seed', 2, tmp('drawn2'));
    for my $steps ('strict', 'one') {
        run(@classical, '--steps', $steps, '--save', '--out', tmp("saved-$steps"));
        ok(evaluate('--data', tmp('drawn2'), $file->("saved-$steps/weights.safetensors")) == 0 && $out =~ /26 cells|22 cells/, "cells of another size, step $steps") or print "# $code $out $err";
    }
    ok(evaluate('--data', tmp('drawn2'), $file->('saved/weights.safetensors'), $file->('w')) == 3 && $err =~ /another net/, 'a pipeline and a net are no ensemble');
    my $good = read_file(tmp('saved/weights.safetensors')) =~ s/"data_sum"/"data_som"/r =~ s/"header_sum"/"header_som"/r;
    my ($at) = $good =~ /"second1\.w":\{[^}]*"data_offsets":\[(\d+)/;
    substr(my $nan = $good, 8 + unpack('Q<', $good) + $at, 8) = pack 'd<', 9**9**9 / 9**9**9;
    my %damage = (nan => [$nan, 'not finite'], shapes => [$good =~ s/"shapes":"\d/"shapes":"9/r, 'the file is damaged'],
                  names => [$good =~ s/"net_sha256":"../"net_sha256":"xx/r, 'other measurements'], cut => [substr($good, 0, -1), 'cutp']);
    my @bad = grep { write_file(tmp("cutp-$_"), $damage{$_}[0]); !(evaluate('--data', tmp('drawn2'), $file->("cutp-$_")) == 3 && $err =~ /$damage{$_}[1]/) } sort keys %damage;
    ok(!@bad, "damaged weights of a pipeline: exit 3 (@bad)");
    ($code, $out, $err) = run('predict', '--csv', $file->('saved/weights.safetensors'), map { tmp("drawn/$_->[0]") } @held);
    my @said = map { [split /,/] } grep { !/^file,/ } split /\n/, $out;
    my $off = 0; for my $i (0 .. $#held) { for (0 .. 4) { my $d = abs($said[$i][2 + $_] - $held[$i][@{$held[$i]} - 5 + $_]); $off = $d if $d > $off } }
    ok($code == 0 && @said == @held && $off < 1e-6, "predict asks a pipeline's weights of images ($off)") or print "# $code $err$out";
    ($code, $out, $err) = run('predict', '--table', tmp('rules.csv'), $file->('saved/weights.safetensors'), tmp('drawn2'));
    ok($code == 0 && evaluate('--data', tmp('drawn2'), '--answers', tmp('rules.csv')) == 0, 'and its table is read by evaluate') or print "# $code $err";
    ok((run('predict', '--explain', tmp('why'), $file->('saved/weights.safetensors'), tmp('drawn2')))[0] == 2 && !-e tmp('why'), '--explain is for nets: exit 2');
}

# what must not be
substr(my $cut = read_file(tmp('w')), -1) = '';
write_file(tmp('cut'), $cut);
ok(evaluate('--data', tmp('far'), $file->('cut')) == 3 && $err =~ /cut/, 'damaged weights: exit 3');
ok(evaluate('--data', tmp('nowhere'), $file->('w')) == 3 && $err =~ /nowhere/, 'no data set: exit 3');
ok(evaluate($file->('w')) == 2 && $err =~ /--data/, 'no --data: exit 2');
ok(evaluate('--data', tmp('far')) == 2 && $err =~ /--weights/, 'no --weights: exit 2');
done_testing();
