#!/usr/bin/perl
# slow: faults planted in the kernels of the weights' gradient and of warp groups: each barrier, wait, fence or fragment that is taken away is missed.
use strict; use warnings;
my $B = $ENV{WBCSNET_B} || 'build';
$ENV{ASAN_OPTIONS} = "detect_leaks=0";
unless (-x "$B/emu/wgrad-planted") { print "1..0 # SKIP no C++ compiler here, so there is no emulator\n"; exit }

my $n = 0;
sub ok($$;$) { my ($good, $what) = @_; printf "%sok %d - %s\n", $good ? '' : 'not ', ++$n, $what }
for my $kernels (qw(wgrad wgmma)) {
    my $fails = sub { system("PLANTED=$_[0] $B/emu/$kernels-planted brief >/dev/null 2>&1"); $? != 0 };
    ok(!$fails->(0), "$kernels: right without a fault");
    open my $f, '<', "$B/emu/cuda_$kernels.cu" or die "no planted kernels: $!";
    while (<$f>) {
        next unless /planted [!=]= ([0-9]+)/;
        my $fault = $1;
        ok($fails->($fault), "$kernels: found: " . s/^\s+|\s+$//gr);
    }
}
print "1..$n\n";
