#!/usr/bin/perl
# A kernel that fails on the GPU: with WBCSNET_GPU_SYNC=1 the message names the layer and the operation, without it only where the program
# waited. Memory that does not fit is told by its buffer.
use strict; use warnings;
use FindBin; use lib $FindBin::Bin; use Job;
use Cwd 'abs_path';

my $B = $ENV{WBCSNET_B} // 'build';
$ENV{WBCSNET_CUDA} = abs_path("$B/emu/libwbcsnet_cuda.so") // '';
unless (-e $ENV{WBCSNET_CUDA}) { print "1..0 # SKIP no C++ compiler here, so there is no emulated GPU\n"; exit }
delete @ENV{qw(WBCSNET_ENGINES WBCSNET_GPU_SYNC WBCSNET_GPU_APART EMU_FAULT)};
$ENV{ASAN_OPTIONS} = 'detect_leaks=0';

make_set(tmp('set'), 12, [5, 5, 5, 5, 5]);
write_file(tmp('tiny.net'), "name tiny\ntitle Tiny\ninput 12 12 3\nconv conv1 filters 4 kernel 3 stride 1 pad same\nbn bn1\nrelu relu1\n"
    . "maxpool pool1 size 2 stride 2\nfc fc1 units 12\ndropout drop1 p 0.5\nfc fc2 units classes\nsoftmax loss\n");
write_file(tmp('tiny.conf'), "batch 5\nepochs 2\nshuffle epoch\n");
sub train { my ($out, %set) = @_; local @ENV{keys %set} = values %set; return run(job(out => $out, device => 'cuda', quiet => 1)) }

# the kernel that is to fail => what the message says with waiting
my @faults = (['wgrad_kernel' => 'gradient of the weights of conv1'], ['norm_finish' => 'mean and variance of bn1'],
    ['dropout' => 'dropout of drop1'], ['loss_forward' => 'softmax, loss of loss'], ['gather' => 'gather the cells']);
for (@faults) {
    my ($kernel, $what) = @$_;
    my ($code, undef, $err) = train("late-$kernel", EMU_FAULT => $kernel);
    ok($code == 1 && $err =~ /^wbcsnet: GPU: found cudaErrorIllegalAddress \(.*\) while (?!\Q$what\E)/m, "$kernel fails: told, and not where") or print "# $code $err\n";
    ($code, undef, $err) = train("named-$kernel", EMU_FAULT => $kernel, WBCSNET_GPU_SYNC => 1);
    ok($code == 1 && $err =~ /^wbcsnet: GPU: found cudaErrorIllegalAddress \(.*\) while \Q$what\E\b/m, "$kernel fails, waited for: $what") or print "# $code $err\n";
}
my ($code) = train('graphs');
ok($code == 0, 'without a fault a run ends');
($code) = train('waited', WBCSNET_GPU_SYNC => 1);
ok($code == 0, 'and when each launch is waited for');
ok(-s tmp("graphs/$_") && sha(tmp("graphs/$_")) eq sha(tmp("waited/$_")), "the same bits in $_") for qw(weights.safetensors log.csv predictions.csv);

sub bench { my (@more) = @_; local $ENV{WBCSNET_GPU_SYNC} = 1; run('bench', '--quick', '--net', tmp('tiny.net'), '--batch', 2, @more) }
for my $more ([], ['--candidates'], ['--estimate', 10], ['--floor']) {
    ($code, undef, my $err) = bench('--device', 'cuda', @$more);
    ok($code == 2 && $err =~ /^wbcsnet: WBCSNET_GPU_SYNC: found 1; expected the variable unset.*such times say nothing/s, "bench @$more refuses it") or print "# $code $err\n";
}
($code) = bench('--device', 'cpu');
ok($code == 0, 'bench of the processor does not mind');
{
    local $ENV{WBCSNET_GPU_SYNC} = 'yes';
    ($code, undef, my $err) = run('bench', '--device', 'cpu', '--quick', '--net', tmp('tiny.net'));
    ok($code == 2 && $err =~ /WBCSNET_GPU_SYNC: found 'yes'; expected 0 or 1/, 'a word that is neither 0 nor 1 is refused everywhere') or print "# $code $err\n";
}

# ---- memory that does not fit is told by the buffer at which it ends, cut from one piece or not; an engine that fits is the same either way ----
sub estimate { my ($more, %set) = @_; local @ENV{keys %set} = values %set; run('bench', '--device', 'cuda', '--estimate', 10, '--batch', 2, @$more) }
for my $apart (0, 1) {
    ($code, undef, my $err) = estimate([], EMU_MEMORY => 400, WBCSNET_GPU_APART => $apart);
    ok($code == 1 && $err =~ /^wbcsnet: GPU memory: found no room for (\d+) MB of [a-z ]+; (\d+) MB are taken, \d+ of the device's 400 MB are free/m && $1 + $2 > 400,
        "a device that is too small, WBCSNET_GPU_APART=$apart: the buffer at which the room ends") or print "# $code $err\n";
}
($code) = train('apart', WBCSNET_GPU_APART => 1);
ok($code == 0 && sha(tmp('apart/weights.safetensors')) eq sha(tmp('graphs/weights.safetensors')), 'each buffer by itself: the same bits');
{
    local $ENV{WBCSNET_GPU_APART} = 'all';
    ($code, undef, my $err) = run('bench', '--device', 'cpu', '--quick', '--net', tmp('tiny.net'));
    ok($code == 2 && $err =~ /WBCSNET_GPU_APART: found 'all'; expected 0 or 1/, 'a word that is neither 0 nor 1 is refused') or print "# $code $err\n";
}
done_testing();
