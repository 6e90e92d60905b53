#!/usr/bin/perl
# slow: the switch of the GPU engine's candidates: its names, what it makes of a run's identity, and the table that bench measures; emulated.
use strict; use warnings;
use FindBin; use lib $FindBin::Bin; use Job;
use Cwd 'abs_path';
use JSON::PP;

my $B = $ENV{WBCSNET_B} // 'build';
my $plugin = abs_path("$B/emu/libwbcsnet_cuda.so") // '';
my $bench = 'bench --net experiments/nets/wbcsnet2.net --set size=8,f1=8,f2=16,f3=16,fc1=16 --batch 1 --repeat 1';
my @names = map { /\{ "([\w-]+)", "/ ? $1 : () } split /^/, read_file("$FindBin::Bin/../generated/engines/candidates.c");
$ENV{ASAN_OPTIONS} = 'detect_leaks=0';
delete $ENV{WBCSNET_CANDIDATES};
sub with { local $ENV{WBCSNET_CANDIDATES} = shift; return run(@_) }

# ---- names, on any machine ----
my ($code, $out, $err) = with('tiles,grups', split ' ', "$bench --device cpu");
ok($code == 2 && $err =~ /WBCSNET_CANDIDATES: found '(tiles|grups)'/ && $err =~ /none, or some of \Q${\join ', ', @names}\E/, 'an unknown name: one message that lists what there is, exit code 2')
    or print "# $code $err";
($code, $out, $err) = with('grups', split ' ', "$bench --device cpu");
ok($code == 2 && $err =~ /did you mean groups/, 'and the nearest');
($code, $out, $err) = run(split ' ', "$bench --device cpu --candidates");
ok($code == 2 && $err =~ /--candidates: found --device cpu; expected cuda/, 'the processor has no candidates') or print "# $code $err";

# ---- what a run is: on the processor nothing changes ----
make_set(tmp('set'), 12, [4, 4, 4, 4, 4]);
write_file(tmp('n.net'), "name n\ntitle N\ninput 12 12 3\nconv c filters 16 kernel 3\nbn b\nrelu r\nconv d filters 16 kernel 5\nrelu s\nmaxpool p size 2 stride 2\nfc f units classes\nsoftmax loss\n");
write_file(tmp('r.conf'), "batch 4\nepochs 1\n");
sub train { my ($names, $folder, $device, $net) = @_; return with($names, job(out => $folder, net => tmp($net // 'n.net'), recipe => tmp('r.conf'), device => $device)) }
sub config { read_file(tmp("$_[0]/config.json")) }
train('none', 'cpu', 'cpu'), train(join(',', @names), 'cpu-all', 'cpu');
ok(config("cpu") =~ /"device": "cpu"(?:, "arithmetic": \{[^}]*\})?,\n/ && config('cpu') eq config('cpu-all'), 'a run on the processor knows no candidates');
unless (-e $plugin) { skip(1, 'no C++ compiler here, so there is no emulated GPU engine'); done_testing() }

$ENV{WBCSNET_CUDA} = $plugin;
train('none', 'plain', 'cuda-tf32'), train("$names[-1],$names[0]", 'some', 'cuda-tf32');
my $in_tf32 = join ',', grep { my $row = quotemeta; read_file("$FindBin::Bin/../generated/engines/candidates.c") =~ /"$row",[^{}]*IN_TF32/ } $names[0], @names > 1 ? $names[-1] : ();
ok(config('plain') =~ /"device": "cuda-tf32",\n/, 'nor does one on a GPU without any');
ok(config('some') =~ /"device": "cuda-tf32", "candidates": "\Q$in_tf32\E",\n/ && read_file(tmp('some/run.json')) =~ /"candidates": "\Q$in_tf32\E"/,
    'those that touch the engine stand in config.json and run.json, in the order of the table') or print '# ' . config('some') . "\n";
($code, $out, $err) = train($names[0], 'plain', 'cuda-tf32');
ok($code == 3 && $err =~ /candidates = absent/, 'another run: not gone on with in the same folder') or print "# $code $err";

# ---- what a run learns: the same but for rounding ----
for my $device ('cuda', 'cuda-tf32', 'cuda-bf16') {
    my ($none, $all) = map { train($_ eq 'none' ? 'none' : join(',', @names), "$device-$_", $device); [map { $_->[2] } log_rows(tmp("$device-$_/log.csv"))] } 'none', 'all';
    my $far = grep { !(abs($none->[$_] / $all->[$_] - 1) < ($device eq 'cuda' ? 1e-4 : 2e-2)) } 0 .. $#$none;
    ok(@$none > 2 && @$none == @$all && !$far, "$device: a run with every candidate has the losses of one without") or print "# @$none\n# @$all\n";
}

# ---- a candidate that is asked for is what runs: when its own kernel breaks, so does the run, and only then ----
write_file(tmp('wide.net'), "name w\ntitle W\ninput 12 12 3\nconv c filters 64 kernel 1\nbn b\nrelu r\nconv d filters 64 kernel 3\nrelu s\nmaxpool p size 2 stride 2\nfc f units classes\nsoftmax loss\n");
for (['fc1-split', 'fc_slices', 'cuda', 'n.net'], ['winograd', 'winograd_sums', 'cuda', 'n.net'], ['groups', 'group_kernel', 'cuda-bf16', 'wide.net'], ['groups-flight', 'group_kernel', 'cuda-tf32', 'wide.net']) {
    my ($name, $kernel, $device, $net) = @$_;
    local $ENV{EMU_FAULT} = $kernel;
    ($code) = train('none', "whole-$name", $device, $net);
    ok($code == 0, "$device without $name runs no $kernel");
    ($code, $out, $err) = train($name, "broken-$name", $device, $net);
    ok($code == 1 && $err =~ /cudaErrorIllegalAddress/, "and with it does") or print "# $code $err\n";
}

# ---- a device that cannot ----
{
    local $ENV{EMU_ARCH} = 80;
    ($code, $out, $err) = train('groups', 'old', 'cuda-bf16');
    ok($code == 4 && $err =~ /WBCSNET_CANDIDATES: found groups.*compute capability 9\.0, this one has 8\.0/s, 'a candidate that the device lacks: exit code 4') or print "# $code $err";
}

# ---- bench ----
($code, $out, $err) = run(split ' ', "$bench --device cuda-bf16 --candidates");
my %row = map { /^  (\S+)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)$/ ? ($1 => [$2, $3, $4, $5]) : () } split /\n/, $out;
my @off = $out =~ /^  (\S+)\s+touches nothing in cuda-bf16$/mg;
ok($code == 0 && keys(%row) + @off == @names && $row{groups}, 'bench: every candidate has its row') or print "# $code $err$out";
ok(!grep({ $_->[1] <= 0 || $_->[2] <= 0 || abs($_->[1] / $_->[2] - $_->[3]) > 0.01 + 0.02 * $_->[3] } values %row), 'bench: times, and their ratio') or print "# $out";
ok(abs($row{groups}[0] - 2.2 / 1.7) < 0.01, 'bench: the prediction is the table\'s');
($code, $out, $err) = do { local $ENV{EMU_ARCH} = 80; run(split ' ', "$bench --device cuda --candidates --json") };
my $json = eval { decode_json($out) } // {};
ok($code == 0 && @{ $json->{candidates} // [] } == @names && !grep({ !$_->{off} && !($_->{ratio} > 0 && $_->{predicted_ratio} > 0) } @{ $json->{candidates} }),
    'bench --json can be read') or print "# $code $err$out";
($code, $out, $err) = do { local $ENV{EMU_ARCH} = 80; run(split ' ', "$bench --device cuda-bf16 --candidates") };
ok($out =~ /^  groups +needs a GPU of compute capability 9\.0, this one has 8\.0$/m, 'bench says what the device lacks') or print "# $out";
($code, $out, $err) = with('groups', split ' ', "$bench --device cuda-bf16 --candidates");
ok($code == 2 && $err =~ /each candidate is measured by itself/, 'bench refuses candidates that are on already') or print "# $code $err";
done_testing();
