#!/usr/bin/perl
# slow: the convolution kernels under the emulator: right over odd shapes in every order of the threads, whether sums are rounded or cut; each barrier, wait and guard is missed.
use strict; use warnings;
my $B = $ENV{WBCSNET_B} // 'build';
unless (-x "$B/emu/conv") { print "1..0 # SKIP no C++ compiler here, so there is no emulator\n"; exit }
$ENV{ASAN_OPTIONS} = 'detect_leaks=0';
my $n = 0;
sub ok($$;$) { my ($good, $what, $seen) = @_; $n++; print $good ? '' : 'not ', "ok $n - $what\n"; unless ($good) { print "# $_\n" for split /\n/, $seen } }

# The sanitizers look for overruns, which the first finds.
for my $order ($B =~ /asan/ ? 1 : (1, -1)) {
    my $cut = $order < 0 ? 1 : 0;
    my $seen = `EMU_ORDER=$order EMU_TRUNCATE=$cut $B/emu/conv 2>&1`;
    my $tests = () = $seen =~ /^ok/mg;
    my $bad = join '', grep { !/^ok|^# [0-9]/ } split /^/, $seen;
    ok($? == 0 && $tests > 400, "$tests results are right, threads in order $order, sums of products " . ($cut ? 'cut toward zero' : 'rounded'), $bad);
}

my $planted = -x "$B/emu/conv-planted" && open my $f, '<', "$B/emu/cuda_conv.cu";
$n++, print "ok $n # SKIP no kernels with planted faults here: FAST=1 leaves them out\n" unless $planted;
while ($planted && defined($_ = <$f>)) {
    next unless /planted [!=]= ([0-9]+)/;
    my ($fault, $text) = ($1, $_);
    $text =~ s/^\s+|\s+$//g;
    my $found = 0;
    for my $order (1, -1) {
        system("PLANTED=$fault EMU_ORDER=$order $B/emu/conv-planted 10 2 1 >/dev/null 2>&1");
        $found = $? != 0 and last;
    }
    ok($found, "found: $text", "line $. of cuda_conv.cu is not missed");
}
print "1..$n\n";
