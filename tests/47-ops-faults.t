#!/usr/bin/perl
# slow: each barrier, wait, guard and index planted wrong in the passes over memory is found by 47-ops-kernels.
use strict; use warnings;
my $B = $ENV{WBCSNET_B} // 'build';
unless (-x "$B/emu/ops-planted") { print "1..0 # SKIP no C++ compiler here, so there is no emulator\n"; exit }
$ENV{ASAN_OPTIONS} = 'detect_leaks=0';
my $n = 0;
sub ok($$;$) { my ($good, $what) = @_; $n++; print $good ? '' : 'not ', "ok $n - $what\n" }
sub fails { my ($fault, $order) = @_; system("PLANTED=$fault EMU_ORDER=$order $B/emu/ops-planted brief >/dev/null 2>&1"); $? != 0 }

ok(!fails(0, 1) && !fails(0, -1), 'without a fault the kernels are right');
open my $f, '<', "$B/emu/cuda_ops.cu" or die "no planted kernels: $!";
while (<$f>) {
    next unless /planted ([!=])= ([0-9]+)(?:\) )?(.*)/;
    my ($how, $fault, $what) = ($1, $2, $3);
    ok(fails($fault, 1) || fails($fault, -1), $how eq "!" ? "found: $what left out in line $." : "found: a wrong value in line $.");
}
print "1..$n\n";
