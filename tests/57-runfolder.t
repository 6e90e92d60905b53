#!/usr/bin/perl
# The run folder: what damages it is found by every reader, a run is known by its content, and jobs of many wait, share and put aside.
use strict; use warnings;
use FindBin; use lib $FindBin::Bin; use Job;
use File::Copy qw(copy); use Digest::SHA qw(sha256_hex);

make_set(tmp('set'), 8, [12, 8, 8, 8, 8]);
write_file(tmp('tiny.net'), "name tiny\ntitle Tiny\nparam f 4\ninput 8 8 3\nconv conv1 filters \$f kernel 3 stride 1 pad same\nrelu relu1\nfc fc1 units classes\nsoftmax loss\n");
write_file(tmp('tiny.conf'), "batch 8\nepochs 3\n");
my ($code, $out, $err);
sub folder { my ($f) = @_; tmp("runs/arm/seed1/fold$f") }
sub cv { my ($fold, @more) = @_; run(job(out => "runs/arm/seed1/fold$fold", fold => $fold, @more)) }
sub summary { run('summarise', '--experiment', 'try', '--out', tmp('results'), map { folder($_) } 0 .. 3) }
sub copy_run { my ($from, $to) = @_; system('rm', '-rf', $to); system('cp', '-r', $from, $to) }

# --- damage ---
cv($_) for 0 .. 3;
($code, $out, $err) = summary();
ok($code == 0, 'four whole folds are summed up') or print "# $err\n";
my $results = read_file(tmp('results/results.tex'));
copy_run(folder(2), tmp('kept'));
sub damaged {    # damage the file of fold 2; summarise must refuse it, train must run it again to the same bits
    my ($file, $what, $damage) = @_;
    copy_run(tmp('kept'), folder(2));
    my $path = folder(2) . "/$file";
    my $text = read_file($path);
    write_file($path, $damage->($text));
    return ok(0, "$what: nothing was damaged") if $damage->($text) eq $text;
    ($code, $out, $err) = summary();
    ok($code == 3 && $err =~ /\Q$file\E/, "$what is found by summarise") or print "# $code $err\n";
    ($code, $out, $err) = cv(2);
    if ($file eq 'run.json') { ok($code == 3 && $err =~ /run\.json.*\n  hint: remove this file to run the job again/, 'and by train, which says what to do') or print "# $code $out $err\n"; return }
    ok($code == 0 && $err =~ /\Q$file\E is not as it was written/ && sha($path) eq sha(tmp("kept/$file")), 'and by train, which makes it again') or print "# $code $err\n";
}
damaged('predictions.csv', 'a prediction less', sub { $_[0] =~ s/[^\n]*\n\z//r });
damaged('predictions.csv', 'no prediction but the header', sub { $_[0] =~ s/\n.*/\n/sr });
damaged('predictions.csv', 'another answer', sub { my ($h, $r) = split /\n/, $_[0], 2; my ($f, $c, $p) = split /,/, $r; my $o = $p eq 'monocyte' ? 'basophil' : 'monocyte'; "$h\n" . $r =~ s/^\Q$f,$c,$p\E/$f,$c,$o/r });
damaged('predictions.csv', 'one flipped bit', sub { my $t = $_[0]; substr($t, length($t) / 2, 1) ^= "\x01"; $t });
damaged('log.csv', 'a row of the log less', sub { $_[0] =~ s/[^\n]*\n\z//r });
damaged('log.csv', 'a digit in the log', sub { $_[0] =~ s/,1\./,2./r });
damaged('folds.csv', 'another fold in the list', sub { $_[0] =~ s/,0\n/,1\n/r });
damaged('run.json', 'the word fold misspelt', sub { $_[0] =~ s/"fold":/"folk":/r });
damaged('run.json', 'the kind of the cells', sub { $_[0] =~ s/"synthetic"/"real"/r });
damaged('run.json', 'the number of right answers', sub { $_[0] =~ s/"correct": (\d+)/'"correct": ' . ($1 + 1)/er });
damaged('run.json', 'the record cut in half', sub { substr $_[0], 0, length($_[0]) / 2 });
damaged('run.json', 'the record empty', sub { '' });
damaged('run.json', 'the seal misspelt', sub { $_[0] =~ s/\n "sha256": /\n "sha257": /r });
damaged('run.json', 'the format misspelt', sub { $_[0] =~ s/"format": 2/"formal": 2/r });
my $bits = 0;
copy_run(tmp('kept'), folder(2));
my $record = read_file(folder(2) . '/run.json');
for (my $at = 0; $at < length $record; $at += 37) {
    my $t = $record;
    substr($t, $at, 1) ^= chr(1 << $at % 7);
    write_file(folder(2) . '/run.json', $t);
    ($code) = run('summarise', '--experiment', 'try', '--out', tmp('bits'), map { folder($_) } 2, 3);
    $bits++ if $code != 3;
}
ok(!$bits, "no flipped bit of a record passes ($bits of " . int(length($record) / 37) . ' did)');
copy_run(tmp('kept'), folder(2));
($code, $out, $err) = summary();
ok($code == 0 && read_file(tmp('results/results.tex')) eq $results, 'undamaged again: the same results');

my $config = read_file(folder(2) . '/config.json');
write_file(folder(2) . '/config.json', $config =~ s/"seed": 1/"seed": 3/r);
($code, $out, $err) = cv(2);
ok($code == 0 && $out =~ /finished already/ && read_file(folder(2) . '/config.json') eq $config, 'a damaged configuration beside a whole record is mended from it') or print "# $code $out $err\n";

# --- a configuration damaged before the run has a record ---
copy_run(tmp('kept'), tmp('stopped'));
unlink tmp('stopped/run.json');
sub stopped { write_file(tmp('stopped/config.json'), $_[0]); return run(job(out => 'stopped', fold => 2)) }
sub is_told { ($code, $out, $err) = stopped($_[0]); return $code == 3 && $err =~ /stopped\/config\.json: found .*\n  hint: remove its folder to run the job again\n/ }
ok(is_told(''), 'an empty configuration of a stopped run is told, with the way out') or print "# $code $err\n";
ok(is_told(substr $config, 0, $_), "one of $_ bytes too") or print "# $code $err\n" for 1, int(length($config) / 2), length($config) - 100, length($config) - 2;
$bits = 0;
for (my $at = 0; $at < length $config; $at += 23) {
    my $t = $config;
    substr($t, $at, 1) ^= chr(1 << $at % 8);
    is_told($t) or $bits++, print "# at $at: $code $err";
}
ok(!$bits, "one with a flipped bit is not taken for another run's ($bits were)");
($code, $out, $err) = stopped($config);
ok($code == 0 && sha(tmp('stopped/predictions.csv')) eq sha(tmp('kept/predictions.csv')), 'undamaged, it is run to its end') or print "# $code $err\n";
unlink tmp('stopped/run.json');
my $plain = $config =~ s/,\n.*\z/}\n/sr;
($code, $out, $err) = stopped($plain =~ s/"seed": 1/"seed": 3/r);
ok($code == 3 && $err =~ /another configuration: seed = 3/, 'one of an earlier version, without a hash, is compared') or print "# $code $err\n";
($code, $out, $err) = stopped($plain);
ok($code == 0 && $plain ne $config, 'and goes on') or print "# $code $err\n";

# --- a checkpoint that a kill left behind the record ---
write_file(folder(2) . '/checkpoint.safetensors', 'left');
cv(2);
ok(!-e folder(2) . '/checkpoint.safetensors', 'a checkpoint beside a record is removed');

# --- records of earlier versions: no format, no hashes ---
sub as_before { my ($folder) = @_; my $r = read_file("$folder/run.json");
    $r =~ s/"format": 2, // and $r =~ s/,\n "files".*/}\n/s and $r =~ s/"identity": "\w+"/"config_sha256": "0"/; write_file("$folder/run.json", $r) }
as_before(folder(2));
($code, $out, $err) = summary();
ok($code == 0 && read_file(tmp('results/results.tex')) eq $results, 'a run of an earlier version is read, with the same results') or print "# $err\n";
my $was = sha(folder(2) . '/run.json');
($code, $out, $err) = cv(2);
ok($code == 0 && $out =~ /finished already/ && sha(folder(2) . '/run.json') eq $was, 'and is current') or print "# $code $out $err\n";
for my $old (['predictions.csv', qr/predictions\.csv: found \d+; expected \d+, as run\.json says of test_cells/, 'test_cells'], ['log.csv', qr/log\.csv: found \d+; expected 12, as run\.json says of iterations/, 'iterations']) {
    my $path = folder(2) . "/$old->[0]"; my $text = read_file($path);
    write_file($path, $text =~ s/[^\n]*\n\z//r);
    ($code, $out, $err) = summary();
    ok($code == 3 && $err =~ $old->[1], "its $old->[0] are counted") or print "# $code $err\n";
    write_file($path, $text);
}
copy_run(tmp('kept'), folder(2));

# --- identity: by content ---
sub identity { my ($c, $o, $e) = run(job(out => 'none', identity => 1, @_)); $c == 0 && $o =~ /^([0-9a-f]{64})\n$/ ? $1 : "exit $c $e" }
my $name = identity();
ok($name =~ /^[0-9a-f]{64}$/ && !-e tmp('none'), "the program prints a job's hash, and runs nothing") or print "# $name\n";
system('cp', '-r', tmp('set'), tmp('moved')); copy(tmp('tiny.net'), tmp('other.net')); copy(tmp('tiny.conf'), tmp('other.conf'));
write_file(tmp('moved/dataset.json'), read_file(tmp('moved/dataset.json')) =~ s/"name": "tiny"/"name": "other"/r);
write_file(tmp('other.net'), read_file(tmp('other.net')) =~ s/^title Tiny$/title Other/mr);
for my $same ([data => tmp('set') . '/../set/', 'a path spelt otherwise'], [data => tmp('moved'), 'a set of another name'], [recipe => tmp('other.conf'), 'a recipe of another name'],
              [with => 'epochs=3', 'an override that changes nothing'], [set => 'f=4', 'a size that is the one of the file'], [threads => 2, 'threads']) {
    ok(identity(@$same[0, 1]) eq $name, "$same->[2]: the same run");
}
write_file(tmp('set2.net'), read_file(tmp('tiny.net')) =~ s/f 4/f 5/r);
make_set(tmp('otherset'), 8, [12, 8, 8, 8, 8], seed => 2);
for my $other ([seed => 2, 'another seed'], [fold => 1, 'another fold'], [folds => 5, 'other folds'], [with => 'l2=0', 'another value of the recipe'], [set => 'f=5', 'another size'],
               [net => tmp('set2.net'), 'another net'], [data => tmp('otherset'), 'other cells'], [cells => 30, 'fewer cells'], [learn => 20, 'fewer to learn from'],
               [init => folder(0) . '/weights.safetensors', 'other first weights'], [device => 'ref', 'another engine']) {
    my $it = identity(@$other[0, 1]);
    ok($it ne $name && $it =~ /^[0-9a-f]{64}$/, "$other->[2]: another run") or print "# $it\n";
}
ok(identity(set => 'f=5') eq identity(net => tmp('set2.net')), 'a size in the file or on the command line: the same run');
my ($needs_out, $hash) = run('train', '--data', tmp('set'), '--net', tmp('tiny.net'), '--recipe', tmp('tiny.conf'), '--folds', 4, '--fold', 0, '--device', 'ref', '--identity');
ok($needs_out == 0 && $hash eq identity(device => 'ref') . "\n", 'asking for it needs no --out') or print "# exit $needs_out\n";
ok(json_value(folder(0) . '/run.json', 'identity') eq "\"$name\"", 'the record names it');

# --- a job of many: share, put aside, take back ---
my @pool = (pool => tmp('pool'));
($code, $out) = run(job(out => 'many/a', @pool));
ok($code == 0 && $out !~ /shared|already/, 'the first of two equal jobs computes');
($code, $out, $err) = run(job(out => 'many/b', @pool, with => 'epochs=3'));
ok($code == 0 && $out =~ /b: shared with \S*a$/m, 'the second shares') or print "# $code $out $err\n";
ok(sha(tmp("many/b/$_")) eq sha(tmp("many/a/$_")), "the same $_") for qw(log.csv predictions.csv folds.csv weights.safetensors);
ok(json_value(tmp('many/b/run.json'), 'shared') eq 'true' && json_value(tmp('many/b/run.json'), 'with') eq '"epochs=3"', 'and says so, in its own words');
($code, $out, $err) = run(job(out => 'many/b', @pool));
ok($code == 0 && $out =~ /finished already/, 'what is shared is finished, however it is spelt') or print "# $out $err\n";
my $other = sha(tmp('many/b/predictions.csv'));
($code, $out, $err) = run(job(out => 'many/b', @pool, seed => 2));
ok($code == 0 && $out =~ /another configuration, which is now \S*b\.old/ && json_value(tmp('many/b/run.json'), 'seed') == 2 && sha(tmp('many/b.old/predictions.csv')) eq $other,
   'another run takes its place, and it is put aside') or print "# $code $out $err\n";
my $mark = sha(tmp('many/b.old/run.json'));
($code, $out, $err) = run(job(out => 'many/b', @pool));
ok($code == 0 && $out =~ /its own run is taken back/ && sha(tmp('many/b/run.json')) eq $mark && json_value(tmp('many/b.old/run.json'), 'seed') == 2, 'and taken back when it is wanted again') or print "# $code $out $err\n";
($code, $out, $err) = run(job(out => 'many/b', @pool, seed => 3));
ok($code == 0 && $out =~ /which is now \S*b\.old\.2/ && json_value(tmp('many/b.old/run.json'), 'seed') == 2 && sha(tmp('many/b.old.2/run.json')) eq $mark, 'a third takes no one away') or print "# $code $out $err\n";
write_file(tmp('many/b.old/run.json'), read_file(tmp('many/b.old/run.json')) =~ s/"correct": /"correct": 1/r);
($code, $out, $err) = run(job(out => 'many/b', @pool));
ok($code == 0 && $out =~ /its own run is taken back/ && sha(tmp('many/b/run.json')) eq $mark, 'the first is found again, past a damaged one') or print "# $code $out $err\n";
ok(!glob(tmp('many/*/lock')), 'no lock is left');
unlink tmp('many/b/weights.safetensors');
($code, $out, $err) = run(job(out => 'many/b', @pool));
ok($code == 0 && $out =~ /finished already/, 'a job of many does not miss weights');
system('rm', '-rf', tmp('many/a'));
($code, $out, $err) = run(job(out => 'many/c', @pool));
ok($code == 0 && $out !~ /shared/, 'an entry of the pool whose run is gone is no use, and no harm') or print "# $out $err\n";
write_file(tmp('pool/' . $name), '');
($code, $out, $err) = run(job(out => 'many/d', @pool));
ok($code == 0, 'nor is an empty one, as a kill may leave it') or print "# $out $err\n";

# --- two at once: ten times, in one folder and in two ---
my $right = sha(folder(0) . '/predictions.csv');
for my $two (['one folder', 'both/x', 'both/x'], ['two folders', 'both/x', 'both/y']) {
    my $good = 0;
    for (1 .. 10) {
        system('rm', '-rf', tmp('both'), tmp('pool2'));
        my @pids = map { start(job(out => $_, pool => tmp('pool2'), checkpoint => 0)) } @$two[1, 2];
        my $failed = grep { waitpid $_, 0; $? } @pids;
        $good++ unless $failed || grep { !-e tmp("$_/run.json") || sha(tmp("$_/predictions.csv")) ne $right } @$two[1, 2];
    }
    ok($good == 10, "two equal jobs at once in $two->[0] end well ($good times of 10)");
}

# --- a run to begin from that diverged, or whose weights were removed ---
run(job(out => 'parent', fold => 'all', with => 'learning_rate=1e30', 'keep-going' => 1, checkpoint => 1000));
ok(json_value(tmp('parent/run.json'), 'diverged') eq 'true' && !-e tmp('parent/weights.safetensors'), 'a run that diverges leaves no weights');
($code, $out, $err) = run(job(out => 'child', init => tmp('parent/weights.safetensors'), 'keep-going' => 1, @pool));
ok($code == 0 && $out =~ /what is to begin from it cannot begin/ && json_value(tmp('child/run.json'), 'diverged') eq 'true' && json_value(tmp('child/run.json'), 'iterations') == 0,
   'what is to begin from it diverges before its first iteration') or print "# $code $out $err\n";
($code, $out, $err) = run(job(out => 'child', init => tmp('parent/weights.safetensors'), 'keep-going' => 1, @pool));
ok($code == 0 && $out =~ /finished already: it diverged/, 'once') or print "# $code $out $err\n";
($code, $out, $err) = run('frozen', '--weights', tmp('parent/weights.safetensors'), '--data', tmp('set'), '--folds', 4, '--fold', 0, '--out', tmp('child2'), @pool ? ('--pool', tmp('pool')) : ());
ok($code == 0 && json_value(tmp('child2/run.json'), 'diverged') eq 'true', 'so does a classifier on its features') or print "# $code $out $err\n";
copy(folder(0) . '/weights.safetensors', tmp('parent/checkpoint.safetensors'));
($code, $out, $err) = run(job(out => 'child3', init => tmp('parent/weights.safetensors'), @pool));
ok($code == 0 && $out =~ /last good checkpoint stands in/ && json_value(tmp('child3/run.json'), 'diverged') eq 'false', 'a last good checkpoint stands in') or print "# $code $out $err\n";
($code, $out, $err) = run(job(out => 'child4', init => tmp('many/b/weights.safetensors'), @pool));
ok($code == 3 && $err =~ /weights\.safetensors: found no such file, though its run is finished.*\n  hint: remove \S*b\/run\.json to train it again/, 'weights that were removed are asked for') or print "# $code $err\n";
done_testing();
