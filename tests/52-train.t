#!/usr/bin/perl
# Training through the program: the update against a computation by hand, statistics, leaks, determinism, fine-tuning, divergence.
use strict; use warnings;
use FindBin; use lib $FindBin::Bin; use Job; use Digest::SHA qw(sha256_hex);

my ($code, $out, $err);
sub close_to { my ($x, $y, $tol) = @_; my $worst = 0; for my $i (0 .. $#$x) { my $d = abs($x->[$i] - $y->[$i]); $worst = $d if $d > $worst } $worst <= $tol && @$x == @$y }

# --- the update by hand: one fully connected layer, the whole set in a batch, so that order does not matter ---
my $rows = make_set(tmp('set'), 3, [8, 6, 5, 4, 7]);
write_file(tmp('fc.net'), "name fc\ntitle FC\ninput 3 3 3\nfc fc1 units classes\nsoftmax loss\n");
write_file(tmp('tiny.conf'), "learning_rate 0.0002\nl2 300\nbatch 30\nepochs 3\ninit_std 0\n");
my %label = map { $Job::class[$_] => $_ } 0 .. 4;
sub by_hand {                                      # theta <- theta - lr (grad + l2 w) + momentum (theta - theta before), from zeros
    my ($steps, $balanced) = @_;
    my (@x, @y, @mean, @n);
    for my $r (@$rows) { push @x, [unpack 'C*', $r->[3]]; push @y, $label{$r->[1]}; $n[$label{$r->[1]}]++ }
    for my $x (@x) { $mean[$_] += $x->[$_] / @x for 0 .. 26 }
    for my $x (@x) { $x->[$_] -= $mean[$_] for 0 .. 26 }
    my @w = map { [(0) x 27] } 0 .. 4; my @b = (0) x 5; my @dw = map { [(0) x 27] } 0 .. 4; my @db = (0) x 5;
    my @loss; my $roots = 0; $roots += $_ ** 0.5 for @n;
    for (1 .. $steps) {
        my @gw = map { [(0) x 27] } 0 .. 4; my @gb = (0) x 5; my $loss = 0;
        for my $i (0 .. $#x) {
            my @z = map { my $c = $_; my $s = $b[$c]; $s += $w[$c][$_] * $x[$i][$_] for 0 .. 26; $s } 0 .. 4;
            my ($max) = sort { $b <=> $a } @z; my $sum = 0; $sum += exp($_ - $max) for @z;
            my $weight = !$balanced ? 1 : $balanced eq 'balanced' ? @x / (5 * $n[$y[$i]]) : @x * $n[$y[$i]] ** -0.5 / $roots;
            $loss += $weight * ($max + log($sum) - $z[$y[$i]]) / @x;
            for my $c (0 .. 4) {
                my $d = $weight * (exp($z[$c] - $max) / $sum - ($c == $y[$i])) / @x;
                $gb[$c] += $d; $gw[$c][$_] += $d * $x[$i][$_] for 0 .. 26;
            }
        }
        push @loss, $loss;
        for my $c (0 .. 4) {
            for my $k (0 .. 26) { my $d = -0.0002 * ($gw[$c][$k] + 300 * $w[$c][$k]) + 0.9 * $dw[$c][$k]; $w[$c][$k] += $d; $dw[$c][$k] = $d }
            my $d = -0.0002 * $gb[$c] + 0.9 * $db[$c]; $b[$c] += $d; $db[$c] = $d;
        }
    }
    return ([map { @$_ } @w], \@b, \@mean, \@loss);
}
for my $balanced ('', 'balanced', 'root') {
    my ($w, $b, $mean, $loss) = by_hand(3, $balanced);
    ($code, $out, $err) = run(job(net => tmp('fc.net'), fold => 'all', out => "hand$balanced", with => $balanced ? "class_weights=$balanced" : undef));
    my $got = weights(tmp("hand$balanced/weights.safetensors"));
    my $how = $balanced ? ", classes weighed ($balanced)" : '';
    ok($code == 0 && close_to($got->{'fc1.weight'} // [], $w, 2e-7), "three updates of the weights by hand$how") or print "# $code $err\n";
    ok(close_to($got->{'fc1.bias'} // [], $b, 1e-8), "and of the biases, without L2$how");
    ok(close_to($got->{'input.mean'} // [], $mean, 1e-4), "the mean image by hand$how");
    ok(close_to([map { $_->[2] } log_rows(tmp("hand$balanced/log.csv"))], $loss, 1e-5), "the log's losses by hand$how");
}

# --- statistics of the whole training set ---
write_file(tmp('bn.net'), "name bn\ntitle BN\ninput 3 3 3\nbn bn1\nfc fc1 units classes\nsoftmax loss\n");
run(job(net => tmp('bn.net'), fold => 'all', out => 'final', with => 'batch=7,shuffle=epoch'));
my $got = weights(tmp('final/weights.safetensors'));
my (@sum, @square); my $m = by_hand_mean(); my $n = @$rows * 9;
sub by_hand_mean { my (undef, undef, $mean) = by_hand(0, 0); $mean }
for my $r (@$rows) { my @x = unpack 'C*', $r->[3]; for (0 .. 26) { my $v = $x[$_] - $m->[$_]; $sum[$_ % 3] += $v; $square[$_ % 3] += $v * $v } }
my @variance = map { $square[$_] / $n - ($sum[$_] / $n) ** 2 } 0 .. 2;
ok(close_to($got->{'bn1.mean'}, [map { $_ / $n } @sum], 1e-3), 'final statistics: the mean over the whole set, in batches of 7');
ok(close_to($got->{'bn1.variance'}, \@variance, 0.01), 'and the variance') or print "# @{$got->{'bn1.variance'}} for @variance\n";
run(job(net => tmp('bn.net'), fold => 'all', out => 'moving', with => 'batch=7,bn_statistics=moving'));
my $moving = weights(tmp('moving/weights.safetensors'));
ok(!close_to($moving->{'bn1.variance'}, \@variance, 1) && $moving->{'bn1.variance'}[0] > 1, 'moving statistics are others');

# --- work by hand, in FLOP of an image: a layer that reads the input has no gradient to pass on, twice its work forward; the others have three times ---
# fc.net: fc 5 * (2 * 27 + 1) = 275, softmax 5. bn.net: bn 2 * 27, which stands between the input and fc.
ok(json_value(tmp('hand/run.json'), 'train_flop') == (2 * 275 + 3 * 5) * 3 * 30, 'work of 3 epochs of 30 cells');
my $image = 3 * (54 + 275 + 5);
ok(json_value(tmp('final/run.json'), 'train_flop') == $image * 3 * 28, '2 of 30 cells are left out of batches of 7: the work of 28 an epoch');
run(job(net => tmp('bn.net'), fold => 'all', out => 'kept', with => 'batch=7,last_batch=keep'));
ok(json_value(tmp('kept/run.json'), 'train_flop') == $image * 3 * 30, 'or they are a batch of their own: the work of 30');

# --- a net with everything in it ---
make_set(tmp('set'), 8, [16, 12, 8, 12, 12]);
write_file(tmp('tiny.net'), "name tiny\ntitle Tiny\nparam f 4\ninput 8 8 3\nconv conv1 filters \$f kernel 3 stride 1 pad same\nbn bn1\nrelu relu1\n"
    . "maxpool pool1 size 2 stride 2\nfc fc1 units 8\ndropout drop1 p 0.5\nfc fc2 units classes\nsoftmax loss\n");
write_file(tmp('tiny.conf'), "batch 8\nepochs 4\n");
($code, $out, $err) = run(job(out => 'a'));
ok($code == 0 && $out =~ /a: 4 epochs .*of 15 held-out cells right/, 'a job says what it found') or print "# $code $out $err\n";
my @epochs = $err =~ /^tiny seed 1 fold 0: epoch (\d)\/4  loss/mg;
ok("@epochs" eq '1 2 3 4', 'one line an epoch where there is no terminal');
run(job(out => 'b', quiet => 1));
ok(sha(tmp('a/weights.safetensors')) eq sha(tmp('b/weights.safetensors')), 'the same seed gives the same weights, bit by bit');
ok(sha(tmp('a/log.csv')) eq sha(tmp('b/log.csv')) && sha(tmp('a/predictions.csv')) eq sha(tmp('b/predictions.csv')), 'and the same log and predictions');
ok(read_file(tmp('stderr')) . read_file(tmp('stdout')) eq '', '--quiet prints nothing');
run(job(out => 'c', threads => 2));
ok(sha(tmp('a/weights.safetensors')) eq sha(tmp('c/weights.safetensors')), '2 threads give the same bits as 1');
# every set of vectors with a fused multiply-add gives the same bits, and the record names it
my ($widest) = read_file(tmp('a/run.json')) =~ /"vectors": "([^"]+)"/;
for my $narrow (grep { $_ ne $widest } 'AVX2', 'Neon') {
    ($code, $out, $err) = run(job(out => "v-$narrow", vectors => $narrow));
    if ($code == 2 && $err =~ /--vectors: found '$narrow'/) { skip(1, "this processor has no $narrow"); next }
    ok(sha(tmp('a/weights.safetensors')) eq sha(tmp("v-$narrow/weights.safetensors")) && read_file(tmp("v-$narrow/run.json")) =~ /"vectors": "$narrow"/, "$narrow gives the bits of $widest");
}
($code, $out, $err) = run(job(out => 'v', vectors => 'MMX'));
ok($code == 2 && $err =~ /--vectors: found 'MMX'; expected .*, or a narrower set of this machine/, 'vectors that there are not');
($code, $out, $err) = run(job(out => 'v', vectors => 'AVX2', device => 'ref'));
ok($code == 2 && $err =~ /--vectors: found --device ref; expected an engine that has the choice/, 'an engine without the choice');
run(job(out => 'd', seed => 2));
ok(weights(tmp('a/weights.safetensors'))->{''} ne weights(tmp('d/weights.safetensors'))->{''}, 'another seed gives other weights');
for my $with ('shuffle=epoch,last_batch=keep,augment=turns,bn_statistics=moving,class_weights=balanced,init=glorot', 'normalise=none,init=he') {
    run(job(out => "m1$with", with => $with)), run(job(out => "m2$with", with => $with, threads => 2));
    my $w = tmp("m1$with/weights.safetensors");
    ok(-s $w && sha($w) eq sha(tmp("m2$with/weights.safetensors")), "1 and 2 threads agree with $with");
}
# --- turns: a net that does not learn sees one cell, epoch after epoch, in each of the square's eight symmetries and in no other ---
make_set(tmp('two'), 8, [1, 1]);
write_file(tmp('flat.net'), "name flat\ntitle Flat\ninput 8 8 3\nfc fc1 units classes\nsoftmax loss\n");
run(job(out => 'turned', data => tmp('two'), net => tmp('flat.net'), fold => 'all', with => 'batch=1,epochs=100,augment=turns,learning_rate=0,normalise=none'));
my %loss; $loss{$_->[0] % 2}{$_->[2]}++ for log_rows(tmp('turned/log.csv'));
ok(keys %{$loss{0}} == 8 && keys %{$loss{1}} == 8, 'turns: a cell is shown in all of its eight turns and flips') or print '# ', scalar keys %{$loss{0}}, "\n";
for my $size ('12 20', '20 12') {
    write_file(tmp('oblong.net'), "name oblong\ntitle Oblong\ninput $size 3\nfc fc1 units classes\nsoftmax loss\n");
    ($code, $out, $err) = run(job(out => 'oblong', net => tmp('oblong.net'), with => 'augment=turns'));
    ok($code == 3 && $err =~ /oblong\.net: found an input of @{[$size =~ s{ }{ x }r]} under augment turns; expected a square.*augment=none/s && !-e tmp('oblong/run.json'), "turns of $size pixels are refused")
        or print "# $code $err\n";
}
($code, $out, $err) = run(job(out => 'oblong', net => tmp('oblong.net')));
ok($code == 0, 'a net that is not square learns without turns, in the same folder') or print "# $code $err\n";
write_file(tmp('large.net'), "name large\ntitle Large\ninput 16 16 3\nfc fc1 units classes\nsoftmax loss\n");
($code, $out, $err) = run(job(out => 'large', net => tmp('large.net'), with => 'epochs=1'));
ok($code == 0 && $err =~ /warning: .*cells of 8 x 8, and the net looks at 16 x 16: they are enlarged/, 'cells much smaller than the net\'s input: a word') or print "# $code $err\n";
($code, $out, $err) = run(job(out => 'large2', net => tmp('large.net'), with => 'epochs=1', quiet => 1));
ok($code == 0 && $err eq '', '... not where --quiet asks for none') or print "# $code $err\n";

# --- a class of which there are none, or fewer than folds ---
make_set(tmp('four'), 8, [8, 8, 0, 8, 8]), make_set(tmp('thin'), 8, [8, 8, 3, 8, 8]);
($code, $out, $err) = run(job(out => 'four-run', data => tmp('four')));
ok($code == 3 && $err =~ /0 cells of class basophil; expected at least 4.*no number of folds helps: .*--classes neutrophil,eosinophil,lymphocyte,monocyte$/ms, 'a set without a class: the way out is --classes')
    or print "# $code $err\n";
($code, $out, $err) = run(job(out => 'thin-run', data => tmp('thin')));
ok($code == 3 && $err =~ /3 cells of class basophil; expected at least 4.*use fewer folds: 3 at most$/ms, 'too few of a class: how many folds there may be') or print "# $code $err\n";
($code, $out, $err) = run(job(out => 'thin-run', data => tmp('thin'), folds => 3));
ok($code == 0, '... which is true') or print "# $code $err\n";

# --- order: 45 rows, drawn once or for each epoch; the weights name the last epoch's order by its SHA-256 ---
sub order { my ($run, %o) = @_; run(job(out => $run, %o)); weights(tmp("$run/weights.safetensors"))->{header} =~ /"order_sha256":"(\w+)"/ ? $1 : "" }
my @row = map { [split /,/] } split /\n/, read_file(tmp("set/labels.csv")); shift @row;
my %held = map { $_->[0] => 1 } log_rows(tmp("a/predictions.csv"));
my $sorted = sha256_hex(pack "l<*", grep { !$held{$row[$_][0]} } 0 .. $#row);
my @once = map { order("once$_", with => "epochs=$_") } 1, 2; my @epoch = map { order("epoch$_", with => "shuffle=epoch,epochs=$_") } 1, 2;
ok($once[0] eq $once[1] && length $once[0], "shuffle once: every epoch has the same order");
ok($epoch[0] eq $once[0] && $epoch[1] ne $epoch[0], "shuffle epoch: the second epoch has another");
ok($once[0] ne $sorted, "and it is not the order of the data set");
my @rows = log_rows(tmp('a/log.csv'));
ok(@rows == 4 * 5 && $rows[-1][0] == 20 && $rows[-1][1] == 4, '45 cells in batches of 8: the partial batch is dropped, 5 iterations an epoch');
@rows = log_rows(tmp('m1shuffle=epoch,last_batch=keep,augment=turns,bn_statistics=moving,class_weights=balanced,init=glorot/log.csv'));
ok(@rows == 4 * 6, 'or kept, 6 iterations');
ok(sha(tmp('a/weights.safetensors')) eq (json_value(tmp('a/run.json'), 'weights_sha256') =~ s/"//gr), 'the record names the weights');
my @p = log_rows(tmp('a/predictions.csv'));
ok(json_value(tmp('a/run.json'), 'correct') == grep({ $_->[1] eq $_->[2] } @p) && @p == 15, 'and counts what predictions.csv holds');
ok(json_value(tmp('a/run.json'), 'iterations') == 20 && json_value(tmp('a/run.json'), 'train_cells') == 45, 'iterations and cells');
my @left = grep { !/^(config\.json|run\.json|log\.csv|predictions\.csv|folds\.csv|weights\.safetensors)$/ } map { s/.*\///r } glob(tmp('a/*'));
ok(!@left, "nothing else is left in the folder (@left)");

# --- no held-out cell reaches the training ---
my %fold = map { $_->[0] => $_->[3] } log_rows(tmp('a/folds.csv'));
my ($held) = grep { $fold{$_} == 0 } sort keys %fold; my ($learned) = grep { $fold{$_} == 1 } sort keys %fold;
for my $f ($held, $learned) { make_set(tmp($f eq $held ? 'set2' : 'set3'), 8, [16, 12, 8, 12, 12], change => { $f => sub { $_[0] ^ ("\xff" x length $_[0]) } }) }
run(job(out => 'held', data => tmp('set2')));
ok(weights(tmp('a/weights.safetensors'))->{''} eq weights(tmp('held/weights.safetensors'))->{''}, 'a held-out cell with inverted pixels changes no bit of weights, statistics and mean image');
ok(sha(tmp('a/predictions.csv')) ne sha(tmp('held/predictions.csv')), 'but its own prediction');
run(job(out => 'learned', data => tmp('set3')));
ok(weights(tmp('a/weights.safetensors'))->{''} ne weights(tmp('learned/weights.safetensors'))->{''}, 'a training cell does');

# --- all cells, a subset, less than a batch ---
run(job(out => 'all', fold => 'all'));
ok(json_value(tmp('all/run.json'), 'train_cells') == 60 && json_value(tmp('all/run.json'), 'test_cells') == 0, '--fold all trains on every cell');
($code, $out, $err) = run(job(out => 'few', cells => 20, with => 'batch=32'));
ok($code == 0 && $err =~ /do not fill one batch of 32/ && json_value(tmp('few/run.json'), 'iterations') == 4, 'less than one batch: it is kept, with a warning');
ok(json_value(tmp('few/run.json'), 'train_cells') == 15, '--cells takes a subset');

($code, $out) = run(job(out => 'all2', fold => 'all'));
ok($out =~ /4 epochs in .*, [\d.]+ % of its own cells right/, '--fold all: the accuracy on its own cells is told');
($code, $out) = run(job(out => 'all2', fold => 'all'));
ok($out =~ /finished already: 4 epochs, [\d.]+ % of its own cells right/, 'and again when it is finished already') or print "# $out";
($code, $out, $err) = run('folds', '--cells', -3, tmp('set'));
ok($code == 2 && $err =~ /--cells/, 'folds --cells -3 is a usage error, as it is for train');

# --- fine-tuning ---
my $from = weights(tmp('a/weights.safetensors'));
($code, $out, $err) = run(job(out => 'fine', seed => 5, init => tmp('a/weights.safetensors'), with => 'body_rate=0'));
my $fine = weights(tmp('fine/weights.safetensors'));
ok($err =~ /6 of 8 tensors .* drawn anew: fc2.weight fc2.bias; mean image of the new/, 'fine-tuning says what it loaded') or print "# $err";
ok(close_to($fine->{$_}, $from->{$_}, 0), "body_rate 0 freezes $_") for qw(conv1.weight bn1.scale fc1.weight fc1.bias);
ok(!close_to($fine->{'fc2.weight'}, $from->{'fc2.weight'}, 1e-3), 'the head is drawn anew and learns');
run(job(out => 'fineall', seed => 5, init => tmp('a/weights.safetensors'), 'init-all' => 1, with => 'learning_rate=0'));
my $all = weights(tmp('fineall/weights.safetensors'));
ok(!grep({ /weight|bias|scale|offset/ && !close_to($all->{$_}, $from->{$_}, 0) } grep { !/^(header)?$/ } keys %$from), '--init-all with a rate of 0 keeps every tensor');
run(job(out => 'finestat', seed => 5, init => tmp('a/weights.safetensors'), with => 'bn_statistics=moving,bn_decay=1'));
my $stat = weights(tmp('finestat/weights.safetensors'));
ok(close_to($stat->{$_}, $from->{$_}, 0) && ($_ eq 'bn1.mean' || !close_to($stat->{$_}, [(1) x 4], 0.1)), "moving statistics begin where the first weights' stood: $_")
    or print "# $_: @{$stat->{$_}} for @{$from->{$_}}\n" for qw(bn1.mean bn1.variance);
ok(!close_to($all->{'input.mean'}, $from->{'input.mean'}, 0), 'but the mean image is of the new training cells');
($code, $out, $err) = run(job(out => 'wide', init => tmp('a/weights.safetensors'), set => 'f=6'));
ok($code == 0 && $err =~ /drawn anew: conv1.weight conv1.bias/, 'tensors of other shapes are drawn anew');
write_file(tmp('many.net'), read_file(tmp('tiny.net')) =~ s/relu relu1/join '', map { "conv another_layer_$_ filters 4 kernel 1\n" } 1 .. 30/er =~ s/maxpool/relu relu1\nmaxpool/r);
($code, $out, $err) = run(job(net => tmp('many.net'), out => 'many', init => tmp('a/weights.safetensors'), with => 'epochs=1'));
ok($code == 0 && $err =~ /another_layer_1.weight .* another_layer_30.bias fc2/, 'each of 62 tensors that are drawn anew is named') or print "# $err";
($code, $out, $err) = run(job(out => 'foreign', init => tmp('a/log.csv')));
ok($code == 3 && $err =~ /log\.csv/, 'foreign weights are refused');

# --- a loss that breaks ---
($code, $out, $err) = run(job(out => 'broken', with => 'learning_rate=1e30'));
ok($code == 1 && $err =~ /not finite/, 'a loss that is not finite ends the job with 1') or print "# $code $err";
ok(json_value(tmp('broken/run.json'), 'diverged') eq 'true' && json_value(tmp('broken/run.json'), 'diverged_at') >= 1, 'the record says where');
my %said = map { $_->[2] => 1 } log_rows(tmp('broken/predictions.csv'));
ok("@{[keys %said]}" eq 'neutrophil' && !-e tmp('broken/weights.safetensors'), 'no weights; every cell gets the most frequent class');
($code) = run(job(out => 'broken', with => 'learning_rate=1e30'));
ok($code == 1, 'it is not run again, and is no success');
($code) = run(job(out => 'broken', with => 'learning_rate=1e30', 'keep-going' => 1));
ok($code == 0, '--keep-going takes it as a finding');
($code, $out, $err) = run(job(out => 'broken2', net => tmp('fc.net'), with => 'learning_rate=1e38', checkpoint => 0));
my $last = -e tmp("broken2/checkpoint.safetensors") ? weights(tmp("broken2/checkpoint.safetensors")) : {};
ok($code == 1 && json_value(tmp("broken2/run.json"), "diverged_at") >= 1, "parameters that are not finite are noticed at a checkpoint");
ok(!grep({ grep { $_ != $_ || abs($_) > 1e38 } @$_ } map { $last->{$_} } grep { !/^(header)?$/ } keys %$last), 'the checkpoint that stays is finite');
($code, $out, $err) = run(job(out => 'broken3', net => tmp('fc.net'), with => 'learning_rate=1e38,batch=64,epochs=1', fold => 'all'));
ok($code == 1 && $err =~ /a weight after iteration 1 is not finite/ && !-e tmp('broken3/weights.safetensors'), 'a weight that broke is not called a loss') or print "# $code $err";
ok(json_value(tmp('broken3/run.json'), 'diverged_at') eq 1, 'and dated by the step that broke it');
done_testing();
