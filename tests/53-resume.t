#!/usr/bin/perl
# Runs that are killed, stopped, starved of disk, spoiled or misused: each ends with the same bits or with a message.
use strict; use warnings;
use FindBin; use lib $FindBin::Bin; use Job;
use Time::HiRes qw(sleep time);
use Fcntl ':flock';

make_set(tmp('set'), 12, [16, 12, 8, 12, 12]);
write_file(tmp('tiny.net'), "name tiny\ntitle Tiny\nparam f 8\ninput 12 12 3\nconv conv1 filters \$f kernel 5 stride 1 pad same\nbn bn1\nrelu relu1\n"
    . "maxpool pool1 size 2 stride 2\nfc fc1 units 32\ndropout drop1 p 0.5\nfc fc2 units classes\nsoftmax loss\n");
my $epochs = ($ENV{WBCSNET_B} // '') =~ /asan/ ? 20 : 60;                    # sanitized, each step takes several times as long
my $iterations = 5 * $epochs;
write_file(tmp('tiny.conf'), "batch 8\nepochs $epochs\nshuffle epoch\naugment turns\nbn_statistics moving\n");
my ($code, $out, $err);
my @device = (device => 'ref');                     # slow enough to be hit

# --- the undisturbed run ---
my $begun = time;
($code, $out, $err) = run(job(out => 'whole', @device, quiet => 1));
my $whole = time - $begun;
ok($code == 0, sprintf "an undisturbed run of $iterations iterations (%.1f s)", $whole) or print "# $err\n";

# --- kill -9 ten times at random moments; a checkpoint after every step, so that kills hit its writing too ---
srand 7;
my ($kills, $going) = (0, 0);
for (1 .. 10) {
    my $pid = start(job(out => 'killed', @device, checkpoint => 0));
    sleep(0.03 + rand($whole / 8));
    $kills++ if kill 9, $pid;
    waitpid $pid, 0;
    $going++ if read_file(tmp('stderr')) =~ /goes on after iteration (\d+)/ && $1 > 0;
    write_file(tmp('killed/log.csv.tmp.99999'), 'half') if $_ == 5;      # what a kill in the middle of a write leaves
}
($code, $out, $err) = run(job(out => 'killed', @device, checkpoint => 0));
ok($code == 0 && $going > 0, "killed $kills times, gone on $going times, then finished") or print "# $code $err\n";
for my $f (qw(weights.safetensors log.csv predictions.csv folds.csv config.json)) { ok(sha(tmp("killed/$f")) eq sha(tmp("whole/$f")), "the same bits in $f") }
my @left = grep { /tmp\.|checkpoint|lock/ } glob(tmp('killed/*'));
ok(!@left, "nothing half-written is left (@left)");

# --- a finished job ---
my $record = sha(tmp('killed/run.json'));
($code, $out, $err) = run(job(out => 'killed', @device));
ok($code == 0 && $out =~ /finished already/ && sha(tmp('killed/run.json')) eq $record, 'a finished job is not run again');

ok(!-e tmp('killed/lock'), 'and leaves no lock');
for my $f (qw(predictions.csv weights.safetensors log.csv)) {
    my $was = sha(tmp("killed/$f"));
    unlink tmp("killed/$f");
    ($code, $out, $err) = run(job(out => 'killed', @device));
    ok($code == 0 && $err =~ /\Q$f\E is missing/ && sha(tmp("killed/$f")) eq $was, "without its $f it is run again, to the same bits") or print "# $code $out $err\n";
}

# --- a mistake does not claim the folder ---
for my $bad ([[folds => 17], 'use fewer folds'], [[init => tmp('set/labels.csv')], 'labels.csv']) {
    ($code, $out, $err) = run(job(out => 'corrected', with => 'epochs=1', @{$bad->[0]}));
    ok($code == 3 && $err =~ /\Q$bad->[1]\E/, "a mistake in --$bad->[0][0] is told");
    ok(!-e tmp('corrected/config.json'), 'and claims nothing');
}
($code, $out, $err) = run(job(out => 'corrected', with => 'epochs=1'));
ok($code == 0, 'the corrected command runs in the same folder') or print "# $code $err\n";

# --- folders that are not ours ---
for my $f ('set', 'mine') {
    mkdir tmp('mine'); write_file(tmp('mine/thesis.tex'), 'text');
    my @before = sort glob(tmp("$f/*"));
    ($code, $out, $err) = run(job(out => $f, with => 'epochs=1'));
    ok($code == 3 && $err =~ /no config\.json/ && "@before" eq join(' ', sort glob(tmp("$f/*"))), "a folder of other files ($f) is left alone") or print "# $code $err\n";
}
mkdir tmp('job'); write_file(tmp("job/$_"), '') for 'command', 'train.txt';
($code) = run(job(out => 'job', with => 'epochs=1'));
ok($code == 0, 'but what experiments/job puts there may be there');

write_file(tmp('file'), '');
for my $where ('file', 'file/run') {
    ($code, $out, $err) = run(job(out => $where));
    ok($code == 1 && $err =~ /file: found a file of that name.*\n  hint: choose a place/, 'a file is no run folder') or print "# $code $err\n";
}

# --- another configuration ---
for my $c ([seed => 2, 'seed = 1'], [with => 'l2=0', 'recipe.with = ""'], [set => 'f=9', 'net.set = ""'], [folds => 5, 'folds = 4'], [fold => 1, 'fold = 0']) {
    ($code, $out, $err) = run(job(out => 'killed', @device, $c->[0] => $c->[1]));
    ok($code == 3 && $err =~ /another configuration: \Q$c->[2]\E/, "another --$c->[0] is refused: $c->[2]") or print "# $code $err\n";
}

# --- orderly stops ---
# A job that is stopped on its way: on a loaded machine the right moment is found by trying.
sub stop_on_the_way {
    my ($out, $signal) = @_;
    my $wait = $whole / 3 + 0.05;
    for (1 .. 8) {
        my $pid = start(job(out => $out, @device));
        sleep $wait;
        kill $signal, $pid; waitpid $pid, 0;
        my $code = $? >> 8;
        return $code if $code == 130 && -e tmp("$out/checkpoint.safetensors") && log_rows(tmp("$out/log.csv"));
        return $code if $code != 0 && $code != 130;
        if ($code == 0) { system 'rm', '-rf', tmp($out); $wait *= 0.6 } else { $wait *= 1.5 }
    }
    return -1;
}
for my $sig (['INT', 'Ctrl-C'], ['TERM', 'SIGTERM']) {
    ok(stop_on_the_way("stop$sig->[0]", $sig->[0]) == 130 && read_file(tmp('stderr')) =~ /stopped after iteration/, "$sig->[1]: a checkpoint, exit 130");
    my @rows = log_rows(tmp("stop$sig->[0]/log.csv"));
    ok(@rows > 0 && @rows < $iterations, "the log holds what was done (" . @rows . " rows)");
    run(job(out => "stop$sig->[0]", @device));
    ok(sha(tmp("stop$sig->[0]/weights.safetensors")) eq sha(tmp('whole/weights.safetensors')), 'going on ends with the same bits');
}

# --- spoiled checkpoints ---
stop_on_the_way('spoiled', 'TERM');
my $c = tmp('spoiled/checkpoint.safetensors');
my $good = read_file($c);
for my $bad ([substr($good, 0, length($good) / 2), 'cut in half'], ['', 'empty'], ["GIF89a" . 'x' x 100, 'of another format'],
             [$good =~ s/(\\"seed\\": )1/${1}2/r, 'of another run']) {
    write_file($c, $bad->[0]);
    ($code, $out, $err) = run(job(out => 'spoiled', @device));
    ok($code == 3 && $err =~ /checkpoint\.safetensors.*expected.*hint: remove \Q$c\E: the same command then begins again/s && read_file($c) eq $bad->[0],
       "a checkpoint $bad->[1] is told, with what to remove, and left alone") or print "# $code $err\n";
}
my $n = unpack 'Q<', $good;
for my $at (8 + $n + 3, length($good) - 2) {
    my $flipped = $good;
    substr($flipped, $at, 1) ^= "\x01";
    write_file($c, $flipped);
    ($code, $out, $err) = run(job(out => 'spoiled', @device));
    ok($code == 3 && $err =~ /not those that were written/ && read_file($c) eq $flipped, "one flipped bit at byte $at is told") or print "# $code $err\n";
}
write_file($c, read_file(tmp('whole/weights.safetensors')));
($code, $out, $err) = run(job(out => 'spoiled', @device));
ok($code == 3 && $err =~ /the weights of a finished run/, "a finished run's weights are no checkpoint") or print "# $code $err\n";
write_file($c, $good);
run(job(out => 'spoiled', @device));
ok(sha(tmp('spoiled/weights.safetensors')) eq sha(tmp('whole/weights.safetensors')), 'the good one goes on');

# --- two processes in one folder ---
my $pid = start(job(out => 'both', @device));
for (1 .. 200) { last if -e tmp('both/config.json'); sleep 0.01 }
($code, $out, $err) = (system("$Job::program " . join(' ', job(out => 'both', @device)) . " >/dev/null 2>" . tmp('err2')) >> 8, '', read_file(tmp('err2')));
ok($code == 1 && $err =~ /process \d+ on \S+ since [\d :-]+ at work/, 'a second process in the same folder is refused') or print "# $code $err\n";
kill 9, $pid; waitpid $pid, 0;

# --- no room: a limit on the size of files stands for a full disk; where we may, a full disk itself ---
my $args = join ' ', job(out => 'full', @device, checkpoint => 0);
$code = system("bash -c 'ulimit -f 20; exec $Job::program $args' >/dev/null 2>" . tmp('err2')) >> 8;
$err = read_file(tmp('err2'));
ok($code == 1 && $err =~ /cannot write/, 'a file that may not grow: a message and exit 1') or print "# $code $err\n";
ok(!glob(tmp('full/*.tmp.*')), 'no half-written file is left');
run(job(out => 'full', @device));
ok(sha(tmp('full/weights.safetensors')) eq sha(tmp('whole/weights.safetensors')), 'with room, it goes on to the same bits');
mkdir tmp('disk');
if ($> == 0 && system('mount -t tmpfs -o size=100k none ' . tmp('disk') . ' 2>/dev/null') == 0) {
    ($code, $out, $err) = run(job(out => 'disk/run', @device, checkpoint => 0));
    ok($code == 1 && $err =~ /No space left.*\n.*free some space/, 'a full disk: a message and exit 1') or print "# $code $err\n";
    system('umount ' . tmp('disk'));
} else { skip(1, 'a small file system can be mounted by root alone') }
done_testing();
