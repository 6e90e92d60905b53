#!/usr/bin/perl
# Runs on the GPU engine that are killed go on to the same bits; a run's classes come out of the engine that trained it. Emulated, unless
# WBCSNET_ENGINES asks for a device: then on that, and never without it.
use strict; use warnings;
use FindBin; use lib $FindBin::Bin; use Job;
use Cwd 'abs_path';
use Time::HiRes qw(sleep time);

my $B = $ENV{WBCSNET_B} // 'build';
my @asked = split ' ', $ENV{WBCSNET_ENGINES} // '';
my $where = @asked ? '' : 'emulated ';
$ENV{WBCSNET_CUDA} = abs_path("$B/emu/libwbcsnet_cuda.so") // '' unless @asked;
unless (@asked || -e $ENV{WBCSNET_CUDA}) { print "1..0 # SKIP no C++ compiler here, so there is no emulated GPU\n"; exit }
$ENV{ASAN_OPTIONS} = 'detect_leaks=0';

make_set(tmp('set'), 12, [7, 6, 5, 6, 6]);
write_file(tmp('tiny.net'), "name tiny\ntitle Tiny\ninput 12 12 3\nconv conv1 filters 4 kernel 3 stride 1 pad same\nbn bn1\nrelu relu1\n"
    . "maxpool pool1 size 2 stride 2\nfc fc1 units 12\ndropout drop1 p 0.5\nfc fc2 units classes\nsoftmax loss\n");
write_file(tmp('tiny.conf'), "batch 7\nepochs 12\nshuffle epoch\naugment turns\nbn_statistics moving\nclass_weights root\n");
my ($code, $out, $err);
for my $device (@asked ? @asked : ('cuda', 'cuda-bf16')) {
    my @device = (device => $device);
    my $begun = time;
    ($code, $out, $err) = run(job(out => "whole-$device", @device, quiet => 1));
    my $whole = time - $begun;
    ok($code == 0, sprintf "$where$device: an undisturbed run (%.1f s)", $whole) or do { print "# $err\n"; next };
    my $gpu = json_value(tmp("whole-$device/run.json"), 'gpu');
    ok(@asked ? $gpu =~ /^"(?!Emulated).+, driver .+, CUDA \d+\.\d+"$/ : $gpu eq '"Emulated GPU 0, driver for CUDA 12.8, CUDA 12.8"', "$where$device: the record names the device") or print "# $gpu\n";
    ($code, $out, $err) = run(job(out => "whole-$device", @device));
    ok($code == 0 && $out =~ /finished already/, "$where$device: and is read again") or print "# $code $out $err\n";
    srand 7;
    my ($kills, $going) = (0, 0);
    for (1 .. 4) {
        my $pid = start(job(out => "killed-$device", @device, checkpoint => 0));
        sleep($whole * (0.25 + rand(0.4)));
        $kills++ if kill 9, $pid;
        waitpid $pid, 0;
        $going++ if read_file(tmp('stderr')) =~ /goes on after iteration (\d+)/ && $1 > 0;
    }
    ($code, $out, $err) = run(job(out => "killed-$device", @device, checkpoint => 0));
    ok($code == 0 && $going > 0, "$where$device: killed $kills times, gone on $going times, then finished") or print "# $code $err\n";
    for my $f (qw(weights.safetensors log.csv predictions.csv)) { ok(sha(tmp("killed-$device/$f")) eq sha(tmp("whole-$device/$f")), "$where$device: the same bits in $f") }
}
run(job(out => 'processor', device => 'cpu', quiet => 1));
my $record = read_file(tmp('processor/run.json'));
ok($record =~ /"machine": / && $record !~ /"gpu"/, 'a record of the processor names no GPU');
done_testing();
