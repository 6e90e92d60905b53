#!/usr/bin/perl
# The GPU emulator itself (tests/emu/): small kernels are right in every order of threads, and each planted fault is found.
use strict; use warnings;
my $B = $ENV{WBCSNET_B} // 'build';
my $program = "$B/emu/faults";
unless (-x $program) { print "1..0 # SKIP no C++ compiler here, so there is no emulator\n"; exit }
$ENV{ASAN_OPTIONS} = 'detect_leaks=0';
my $n = 0;
sub ok($$;$) { my ($good, $what, $seen) = @_; $n++; print $good ? '' : 'not ', "ok $n - $what\n"; unless ($good) { print "# $_\n" for split /\n/, $seen } }
sub run { my ($name, %set) = @_; local @ENV{keys %set} = values %set; my $seen = `$program $name 2>&1`; ($? == 0, $seen) }

for my $name (qw(reverse sums copies tf32 bf16 atomics graph)) {
    for my $set ([EMU_ORDER => 1], [EMU_ORDER => -1], [EMU_ORDER => 7], [EMU_THREADS => 2]) {
        my ($good, $seen) = run($name, @$set);
        ok($good && $seen eq "right\n", "$name is right with @$set", $seen);
    }
}

# Sums of products are rounded as EMU_TRUNCATE says.
for my $rule (['' => 'rounded to the nearest'], [1 => 'cut toward zero'], [2 => 'cut toward zero, addends too']) {
    my ($good, $seen) = run('rounding', EMU_TRUNCATE => $rule->[0]);
    ok($good && $seen eq "# sums of products are $rule->[1]\nright\n", "EMU_TRUNCATE='$rule->[0]': sums are $rule->[1]", $seen);
}

# What is planted => how it shows: by a message, or by a wrong result in at least one order of the threads.
my $sanitizer = 'AddressSanitizer: (?:SEGV|DEADLYSIGNAL|use-after-poison)';
my @faults = (
    ['no-barrier', 'a removed barrier' => 'wrong: '],
    ['divergent', 'a barrier in a branch' => 'divergent barrier'],
    ['early-exit', 'a thread that ends before a barrier' => 'deadlock: 101 of 128 threads wait.*27 threads have ended'],
    ['shared-beyond', 'a store behind shared memory' => "out of bounds at offset 512 of 512 bytes|$sanitizer"],
    ['shared-before', 'a store before shared memory' => "wrote outside the 512 bytes of shared memory|$sanitizer"],
    ['global-beyond', 'a store just behind an allocation' => "wrote outside an allocation of 404 bytes|$sanitizer"],
    ['global-far', 'a store far behind an allocation' => "16384 bytes beyond the end of an allocation of 404|$sanitizer"],
    ['wrong-lane', 'an exchange with a wrong lane' => 'wrong: '],
    ['outside-mask', 'a shuffle from a lane outside its mask' => 'reads lane 20, which takes no part'],
    ['not-in-mask', 'a lane that is not in its own mask' => 'is not in its mask'],
    ['divergent-lanes', 'lanes of a warp in two operations' => 'divergent warp'],
    ['half-a-warp', 'a matrix product by half a warp' => 'deadlock: 16 of 32 threads wait'],
    ['no-wait', 'a copy that is not waited for' => 'wrong: '],
    ['wait-short', 'a copy waited for a group too late' => 'wrong: '],
    ['copy-no-barrier', "a neighbour's copy read before the barrier" => 'wrong: '],
    ['overtaken', 'a copy into a buffer that is still read' => 'wrong: '],
    ['copy-beyond', 'a copy from behind an allocation' => 'copy_async .* out of bounds'],
    ['swapped-a', 'two registers of fragment a exchanged' => 'wrong: '],
    ['swapped-b', 'two registers of fragment b exchanged' => 'wrong: '],
    ['wrong-column', 'a result stored in a wrong column' => 'wrong: '],
    ['misaligned-row', 'a fragment row at an odd address' => 'not a multiple of 16'],
    ['not-waited', 'a host that reads before the stream is done' => 'wrong: '],
    ['allocates', 'an allocation inside a capture' => 'wrong: the capture was spoilt'],
    ['host-pointer', "a host's address given to a kernel" => "not the device's"],
    ['large-block', 'a block of 1056 threads' => 'no such launch'],
    ['large-shared', '64 KB of shared memory not asked for' => 'no such launch'],
);
for (@faults) {
    my ($name, $what, $pattern) = @$_;
    my ($found, $all) = (0, '');
    for my $order (1, -1) {
        my ($good, $seen) = run($name, EMU_ORDER => $order);
        $found++ if !$good && $seen =~ /$pattern/s;
        $all .= $seen;
    }
    ok($found, "found: $what", $all);
}

# CUDA's words are macros here. The C++ library writes attributes in underscores, __attribute__((__noinline__)), in headers that come
# after: no macro may bear an attribute's name.
my $cxx = $ENV{CXX} || 'c++';
open my $h, '<', 'tests/emu/emu.h' or die "tests/emu/emu.h: $!\n";
my @words = map { /^#define (__\w+__)\b/ ? $1 : () } <$h>;
my @clash = grep {
    my $said = `echo 'void f() __attribute__(($_)); void f() {}' | $cxx -Wall -fsyntax-only -x c++ - 2>&1`;
    $? == 0 && $said !~ /ignored|unknown/;
} @words;
ok(@words > 5 && !@clash, "none of the emulator's words is an attribute of the compiler (@{[scalar @words]} words)", "@clash");
print "1..$n\n";
