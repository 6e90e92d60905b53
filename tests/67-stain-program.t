#!/usr/bin/perl
# The keys and flags against another stain: what train leaves in the weights, what evaluate and predict make of it, and that nothing else changes.
use strict; use warnings;
use FindBin; use lib $FindBin::Bin; use Job; use JSON::PP;
use Cwd ();

my ($code, $out, $err);
# Set `set`, and the same cells as another lamp and bottle show them.
my @counts = (12, 10, 10, 12, 10);
sub other { join '', map { my $x = $_; chr int 160 * ($x / 255) ** 1.7 } unpack 'C*', $_[0] }
my $rows = make_set(tmp('set'), 12, \@counts);
make_set(tmp('far'), 12, \@counts, change => { map { $_->[0] => \&other } @$rows });
write_file(tmp('tiny.net'), "name tiny\ntitle Tiny net\ninput 12 12 3\nconv conv1 filters 8 kernel 3 stride 1 pad same\nbn bn1\nrelu relu1\nmaxpool p size 3 stride 3\nfc fc1 units classes\nsoftmax loss\n");
write_file(tmp('tiny.conf'), "batch 8\nepochs 6\nshuffle epoch\nlast_batch keep\n");
sub trained { my ($name, %o) = @_; ($code, $out, $err) = run(job(out => $name, quiet => 1, device => 'cpu', folds => undef, fold => 'all', %o)); $code == 0 or print "# $err"; tmp("$name/weights.safetensors") }
sub asked { my ($set, $w, @flags) = @_; ($code, $out, $err) = run('evaluate', '--device', 'cpu', '--threads', 1, '--json', '--data', tmp($set), '--weights', $w, @flags); $code ? do { print "# $err"; {} } : decode_json($out) }
sub told { my $w = shift; ($code, $out, $err) = run('predict', '--device', 'cpu', '--csv', '--weights', $w, @_); join '', map { s/^[^,]*,//r } split /^/, $out }

my $plain = trained('plain');
ok(!grep({ read_file(tmp('plain/config.json')) =~ /"$_"/ } qw(jitter stain norm)) && json_value(tmp('plain/config.json'), 'body_rate') eq '1', 'a recipe without the keys that came later does not speak of them: its runs keep their identity');
ok(read_file($plain) !~ /"stain"/, 'nor do its weights');
$_ = trained('none', with => 'stain=none,jitter=0,norm=batch');
ok(weights($_)->{''} eq weights($plain)->{''}, 'their defaults change nothing');

# ---- batch norm anew ----
my $home = asked('set', $plain);
my $again = asked('set', $plain, '--adapt');
ok(abs($home->{mean_confidence} - $again->{mean_confidence}) < 1e-6 && $home->{right} == $again->{right}, 'statistics taken anew of the cells that were learned from are those that are stored') or print "# $home->{mean_confidence} $again->{mean_confidence}\n";
my ($far, $adapted) = map { asked('far', $plain, @$_) } [], ['--adapt'];
ok($home->{right} >= 50 && $far->{right} < 48 && $adapted->{right} > $far->{right} + 4, "at home $home->{right} of 54 are right, under another lamp $far->{right}, and $adapted->{right} with the statistics of those cells");
($code, $out, $err) = run('evaluate', '--device', 'cpu', '--data', tmp('far'), '--weights', $plain, '--adapt', '--out', tmp("runs/adapt/seed1/fold0"));
ok($code == 0 && read_file(tmp('runs/adapt/seed1/fold0/config.json')) =~ /adapt=1/, 'the run folder knows') or print "# $err";
write_file(tmp('bare.net'), read_file(tmp('tiny.net')) =~ s/^bn .*\n//mr);
my $bare = trained('bare', net => tmp('bare.net'), with => 'learning_rate=0.00001');
($code, $out, $err) = run('evaluate', '--data', tmp('far'), '--weights', $bare, '--adapt');
ok($code == 2 && $err =~ /without batch norm/, 'a net without batch norm: exit 2') or print "# $code $err";

# ---- colours ----
my $like = asked('far', $plain, '--stain-like', tmp('set'));
ok($like->{right} > $far->{right} + 4, "--stain-like: $like->{right} are right when the set has the colours of the teacher's") or print "# $err";
my $itself = asked('set', $plain, '--stain-like', tmp('set'));
ok($itself->{mean_confidence} == $home->{mean_confidence}, 'a set is like itself, to the last digit');
my $stain = trained('stain', with => 'stain=cell');
ok($code == 0 && read_file($stain) =~ /"stain":\{"dtype":"F64","shape":\[2,3\]/ && json_value(tmp('stain/config.json'), 'stain') eq '"cell"', 'stain=cell: the weights hold the colours');
my $from_cells = asked('set', $stain);
my ($file) = map { tmp("set/$_->[0]") } $rows->[0];
my $one = told($stain, map { tmp("set/$_->[0]") } @$rows);
my @right = grep { $_->[1] eq $_->[0] } map { [$rows->[$_][1], (split /,/, (split /\n/, $one)[$_ + 1])[0]] } 0 .. $#$rows;
ok(@right == $from_cells->{right}, 'predict brings cells to them as evaluate does') or print "# @{[scalar @right]} $from_cells->{right} $err";
write_file(tmp('same.tif'), read_file($file));
my $lit = read_file($file);
substr($lit, 8, 432) = join '', map { chr int(0.8 * $_ + 0.5) } unpack 'C*', substr $lit, 8, 432;    # a dimmer lamp: log RGB moves, nothing else
write_file(tmp('dim.tif'), $lit);
my @p = map { [split /,/, (split /\n/, told($stain, $_))[1]] } tmp('same.tif'), tmp('dim.tif');
my @q = map { [split /,/, (split /\n/, told($plain, $_))[1]] } tmp('same.tif'), tmp('dim.tif');
my ($moved, $moved_plain) = map { my $k = $_; my $d = 0; $d += abs($k->[0][$_] - $k->[1][$_]) for 1 .. 5; $d } \@p, \@q;
ok($moved < 0.1 && $moved < $moved_plain / 3, "a dimmer lamp changes what it says by $moved, and what the plain net says by $moved_plain");
write_file(tmp('grey.net'), read_file(tmp('tiny.net')) =~ s/12 12 3/12 12 1/r);
for my $with ('stain=cell', 'jitter=0.2') {
    ($code, $out, $err) = run(job(out => 'grey', net => tmp('grey.net'), with => $with));
    ok($code == 3 && $err =~ /sees grey/, "$with and a net that sees grey: exit 3") or print "# $code $err";
}

# ---- shaken ----
my $shaken = trained('shaken', with => 'jitter=0.4');
ok($code == 0 && weights($shaken)->{''} ne weights($plain)->{''}, 'jitter: another net');
ok(asked('set', $shaken)->{right} >= 50, 'which learns what the plain one learns');
ok(weights(trained('shaken2', with => 'jitter=0.4', threads => 2))->{''} eq weights($shaken)->{''}, 'the same with two threads');
my $pid = do { my @j = job(out => 'stopped', quiet => 1, device => 'cpu', folds => undef, fold => 'all', with => 'jitter=0.4', checkpoint => 0); start(@j) };
select undef, undef, undef, 0.15; kill 'TERM', $pid; waitpid $pid, 0;
ok(weights(trained('stopped', with => 'jitter=0.4', checkpoint => 0))->{''} eq weights($shaken)->{''}, 'and stopped and resumed');

# ---- group norm ----
my $group = trained('group', with => 'norm=group');
ok($code == 0 && read_file($group) =~ /groupnorm bn1/ && !exists weights($group)->{'bn1.mean'} && exists weights($group)->{'bn1.scale'}, 'norm=group: the weights\' own net says groupnorm, and stores no statistics');
my $ref = trained('ref', with => 'norm=group', device => 'ref');
my ($g, $r) = map { weights($_)->{'conv1.weight'} } $group, $ref;
my $worst = 0; for (0 .. $#$g) { my $d = abs($g->[$_] - $r->[$_]); $worst = $d if $d > $worst }
ok($worst < 1e-4, "engines agree ($worst)");
ok(asked('set', $group)->{right} >= 50, 'and it learns');
($code, $out, $err) = run('describe', tmp('tiny.net'));
write_file(tmp('bad.net'), read_file(tmp('tiny.net')) =~ s/^bn bn1/groupnorm bn1 groups 3/mr);
($code, $out, $err) = run('describe', tmp('bad.net'));
ok($code == 3 && $err =~ /3 groups of 8 channels/, 'groups that do not divide the channels are told') or print "# $code $err";
my $plugin = Cwd::abs_path(($ENV{WBCSNET_B} // 'build') . '/emu/libwbcsnet_cuda.so') // '';
if (-e $plugin) {
    local @ENV{qw(WBCSNET_CUDA ASAN_OPTIONS)} = ($plugin, 'detect_leaks=0');
    my $c = weights(trained('gpu', with => 'norm=group', device => 'cuda'))->{'conv1.weight'};
    my $far = 0; for (0 .. $#$c) { my $d = abs($c->[$_] - $r->[$_]); $far = $d if $d > $far }
    ok($code == 0 && @$c == @$r && $far < 1e-4, "so does the GPU engine ($far)") or print "# $code $err";
} else { skip(1, 'no C++ compiler here, so there is no emulated GPU engine') }
done_testing();
