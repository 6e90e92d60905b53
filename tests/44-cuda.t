#!/usr/bin/perl
# The GPU engine without a GPU: its host half and all its kernels, emulated, in the tests that every engine must pass; threads forwards
# and backwards, sums of products rounded to the nearest and cut toward zero. A few cases of each operator; make gpu-check runs all of them
# on a device.
use strict; use warnings;
use Cwd 'abs_path';
my $B = $ENV{WBCSNET_B} // 'build';
my $plugin = abs_path("$B/emu/libwbcsnet_cuda.so") // '';
unless (-e $plugin) { print "1..0 # SKIP no C++ compiler here, so there is no emulated GPU engine\n"; exit }
my $asan = $B =~ /asan/;
$ENV{WBCSNET_CUDA} = $plugin;
$ENV{WBCSNET_ENGINES} = 'cuda cuda-tf32 cuda-bf16';
$ENV{OPERATOR_CASES} //= $asan ? 3 : 6;
$ENV{ASAN_OPTIONS} = 'detect_leaks=0';

# Side by side, for each waits for nobody: the order of threads, the test. What threads backwards find is another thing than what cut sums
# find, so that one run looks for both.
# Likewise forwards each buffer is an allocation of its own, so that overruns are seen; backwards they are cut from one, as in use.
my (@jobs, $n);
# The sanitizers look for overruns, which the first finds.
for my $order ($asan ? 1 : (1, -1)) {
    my ($cut, $apart) = $order < 0 ? (1, 0) : (0, 1);
    for my $test ('31-operators', '33-steps', $order > 0 ? '48-cuda-engine' : ()) {
        my $program = "$B/tests/$test.t";
        open my $out, "EMU_ORDER=$order EMU_TRUNCATE=$cut WBCSNET_GPU_APART=$apart $program 2>&1 |" or die;
        push @jobs, [$order < 0 ? 'backwards and sums cut toward zero' : 'forwards', $test, $out];
    }
}
# Each candidate, on the engines that it touches, and buffers apart: a few cases of each operator.
my %touches = map { /\{ "([\w-]+)", ".*", (IN_[\w| ]+),/ ? ($1 => join ' ', map { $_ eq 'IN_FP32' ? 'cuda' : 'cuda-' . lc substr $_, 3 } split / \| /, $2) : () }
    do { open my $f, '<', 'generated/engines/candidates.c' or die; <$f> };
for my $name ($asan ? () : sort keys %touches) {
    open my $out, "WBCSNET_CANDIDATES=$name WBCSNET_ENGINES='$touches{$name}' OPERATOR_CASES=4 EMU_TRUNCATE=1 WBCSNET_GPU_APART=1 $B/tests/31-operators.t 2>&1 |" or die;
    push @jobs, ["forwards and the candidate $name on $touches{$name}", '31-operators', $out];
}
my %engines;
for my $job (@jobs) {
    my ($order, $test, $out) = @$job;
    my ($ran, $plan, @bad) = (0, -1);
    while (<$out>) {
        $ran++ if /^(not )?ok /;
        $plan = $1 if /^1\.\.(\d+)/;
        $engines{$1}++ if /^ok \d+ - (\S+?):? /;
        if (/^not ok/ || /^emu:|Sanitizer|runtime error|^wbcsnet:/ || (@bad && @bad < 20 && /^#/)) { push @bad, $_ }
    }
    close $out;
    my $good = !@bad && $ran == $plan && !$?;
    print $good ? '' : 'not ', 'ok ', ++$n, " - $test with threads $order: $ran checks\n", map { s/^(?!#)/# /r } @bad;
}
for my $engine (split ' ', $ENV{WBCSNET_ENGINES}) {
    my $ran = $engines{$engine} // 0;
    print $ran > 50 ? '' : 'not ', 'ok ', ++$n, " - engine $engine passed $ran checks\n";
}
print "1..$n\n";
