#!/usr/bin/perl
# The GPU engine's plugin: doctor says what is wrong in each case, and --device cuda stops with exit code 4 and the same words.
use strict; use warnings;
use Cwd 'abs_path';
use File::Copy;
use File::Temp 'tempdir';
my $wbcsnet = abs_path($ENV{WBCSNET} // 'build/wbcsnet');
my $B = $ENV{WBCSNET_B} // 'build';
my $cc = $ENV{CC} // 'cc';
my $tmp = tempdir(CLEANUP => 1) . '/in';     # the folder above is looked in too, and must be ours
mkdir $tmp or die;
my $n = 0;
sub ok($$;$) { my ($good, $what, $seen) = @_; $n++; print $good ? '' : 'not ', "ok $n - $what\n"; unless ($good) { print "# $_\n" for grep { /cuda|gpu|usable|found|exit|:/ } split /\n/, $seen } }
sub skip { my ($many, $why) = @_; print 'ok ', ++$n, " # SKIP $why\n" for 1 .. $many }

# Four checks of a case: doctor's line, doctor's exit code, the words of --device and its exit code. program: the one to run.
sub off {
    my ($what, $device, $pattern, $program, %set) = @_;
    delete local $ENV{WBCSNET_CUDA};
    local @ENV{keys %set} = values %set;
    my $doctor = `$program doctor 2>&1`;
    my $code = $? >> 8;
    my ($base) = $device =~ /^([^:]*)/;
    my ($line) = $doctor =~ /^(?:engines)?\s+\Q$base\E\s+(.*)$/m;
    ok($line =~ /^off: $pattern/, "$what: doctor says so", $doctor) unless $device =~ /:/;
    ok($code == 0, "$what: and exits 0", $doctor) unless $device =~ /:/;
    my $seen = `$program bench --device $device --quick 2>&1`;
    ok($seen =~ /^wbcsnet: --device \Q$device\E: found $pattern/m, "$what: --device $device says so", $seen);
    ok($? >> 8 == 4, "$what: and exits 4", "exit " . ($? >> 8) . "\n$seen");
}

# ---- plugins that are none ----
copy($wbcsnet, "$tmp/wbcsnet"), chmod 0755, "$tmp/wbcsnet";
off('no plugin', 'cuda', qr/no GPU engine in this build/, "$tmp/wbcsnet");
off('a plugin named and not there', 'cuda-tf32', qr/no plugin \S*none\.so/, $wbcsnet, WBCSNET_CUDA => "$tmp/none.so");
sub library { my ($name, $text, $flags) = @_; open my $f, '>', "$tmp/$name.c" or die; print $f $text; close $f; !system "$cc -shared -fPIC -o $tmp/$name.so $tmp/$name.c $flags" }
my $kinds = 'const void *const *wbcsnet_cuda_kinds(void); const void *const *wbcsnet_cuda_kinds(void) { return 0; }';
if (library('other', "const char wbcsnet_cuda_version[] = \"0.0-other\"; $kinds", '')) {
    off('a plugin of another version', 'cuda', qr/a plugin of version 0\.0-other beside a program of version \S+; make all builds both/, $wbcsnet,
        WBCSNET_CUDA => "$tmp/other.so");
    library('stranger', 'int a;', '');
    off('a library that is no plugin', 'cuda', qr/\S*stranger\.so, which is no plugin of wbcsnet/, $wbcsnet, WBCSNET_CUDA => "$tmp/stranger.so");
    copy("$tmp/other.so", "$tmp/libwbcsnet_cuda.so");
    off('a plugin beside the program is found', 'cuda-bf16', qr/a plugin of version 0\.0-other/, "$tmp/wbcsnet");
    # A library that is there when the plugin is linked and gone when it is loaded: what a machine without cuBLAS sees.
    library('libcublas', 'int cublasCreate_v2(void); int cublasCreate_v2(void) { return 0; }', '-Wl,-soname,libcublas.so.99');
    library('blas', "int cublasCreate_v2(void); int a(void); int a(void) { return cublasCreate_v2(); } $kinds", "$tmp/libcublas.so");
    unlink "$tmp/libcublas.so";
    off('a plugin without cuBLAS', 'cuda', qr/a plugin that cannot be loaded: libcublas\.so\.99: cannot open/, $wbcsnet, WBCSNET_CUDA => "$tmp/blas.so");
} else { skip(20, "no C compiler '$cc' here") }

# ---- a plugin, and machines of all kinds ----
my $emulated = abs_path("$B/emu/libwbcsnet_cuda.so") // '';
if (-e $emulated) {
    my @with = ($wbcsnet, WBCSNET_CUDA => $emulated);
    off('no driver', 'cuda', qr/no CUDA driver/, @with, EMU_DEVICES => 'e35');
    off('no device', 'cuda', qr/no CUDA device/, @with, EMU_DEVICES => 0);
    off('a device that fails', 'cuda', qr/cudaErrorDevicesUnavailable|.*busy/, @with, EMU_DEVICES => 'e46');
    off('a device too old', 'cuda', qr/GPU 0 has compute capability 6\.1; cuda needs 7\.5/, @with, EMU_ARCH => 61);
    off('a device without bfloat16', 'cuda-bf16', qr/GPU 0 has compute capability 7\.5; cuda-bf16 needs 8\.0/, @with, EMU_ARCH => 75);
    off('a number too high', 'cuda:2', qr/no GPU 2: this machine has 2/, @with, EMU_DEVICES => 2);
    local @ENV{qw(WBCSNET_CUDA EMU_DEVICES EMU_ARCH)} = ($emulated, 2, 89);
    my $doctor = `$wbcsnet doctor`;
    ok($doctor =~ /^\s+$_\s+usable$/m, "two devices: $_ is usable", $doctor) for qw(cuda cuda-tf32 cuda-bf16);
    ok($doctor =~ /^\S*\s+$_\s+Emulated GPU $_: compute capability 8\.9, \d+ SMs, 8\.0 GiB; driver for CUDA \d+\.\d+, runtime \d+\.\d+$/m,
       "device $_ is described", $doctor) for 0, 1;
    for my $bad ('cuda:', 'cuda:x', 'cuda:-1', 'cpu:0', 'cuba') {
        my $seen = `$wbcsnet bench --device $bad --quick 2>&1`;
        ok($? >> 8 == 2, "--device $bad is a wrong command", $seen);
    }
    delete local $ENV{WBCSNET_CUDA};
} else { skip(33, 'the emulated plugin is not built') }

# ---- a test that was told to run on a device, and finds none, fails; one that nobody told skips ----
sub tap { my ($test, %set) = @_; delete local @ENV{qw(WBCSNET_ENGINES WBCSNET_CUDA)}; local @ENV{keys %set} = values %set; my $seen = `$test 2>&1`; ($?, $seen) }
if (-e $emulated && -x "$B/tests/48-cuda-engine.t") {
    for my $test (qw(31-operators 33-steps 48-cuda-engine)) {
        for my $told ([WBCSNET_CUDA => $emulated, EMU_DEVICES => 0], [WBCSNET_CUDA => "$tmp/none.so"], [WBCSNET_CUDA => $emulated, EMU_DEVICES => 'e35']) {
            my ($code, $seen) = tap("$B/tests/$test.t", WBCSNET_ENGINES => 'cuda', @$told);
            ok($code && $seen =~ /^not ok \d+ - engine cuda, which WBCSNET_ENGINES="cuda" asks for: /m && $seen !~ /SKIP/, "$test without its device fails (@$told)", "exit $code\n$seen");
        }
        my ($code, $seen) = tap("$B/tests/$test.t", WBCSNET_ENGINES => 'cuba', WBCSNET_CUDA => $emulated);
        ok($code && $seen =~ /^not ok \d+ - something was tested/m, "$test of an engine that there is not fails", "exit $code\n$seen");
    }
    my ($code, $seen) = tap("$B/tests/48-cuda-engine.t", WBCSNET_CUDA => "$tmp/none.so");
    ok($code == 0 && $seen =~ /^ok 1 # SKIP cuda-bf16: no plugin/m, 'a test that nobody told where to run skips, aloud', "exit $code\n$seen");
    ($code, $seen) = tap("$B/tests/33-steps.t", WBCSNET_ENGINES => 'cuda:1', WBCSNET_CUDA => $emulated, EMU_DEVICES => 2);
    ok($code == 0 && $seen =~ /^ok \d+ - cuda/m, 'cuda:1 is asked for and there', "exit $code\n$seen");
    ($code, $seen) = tap("$B/tests/33-steps.t", WBCSNET_ENGINES => 'cuda:1', WBCSNET_CUDA => $emulated);
    ok($code && $seen =~ /asks for: cuda: no GPU 1/m, 'or not', "exit $code\n$seen");
    for my $test ("$B/emu/conv", map { "$B/tests/$_.t" } qw(42-words 46-wgrad-kernels 47-ops-kernels 48-group-kernels)) {
        ($code, $seen) = tap($test, EMU_DEVICES => 0);
        ok($code && $seen =~ /^(?:Bail out! no CUDA device|not ok 1 - a CUDA device)/m, "$test without a device fails", "exit $code\n$seen");
    }
    ($code, $seen) = tap("perl tests/49-cuda-resume.t", WBCSNET_ENGINES => 'cuda', WBCSNET => $wbcsnet);
    ok($code && $seen =~ /^not ok 1 - cuda: an undisturbed run/m || -e '/dev/nvidiactl', '49-cuda-resume on a device that is not there fails', "exit $code\n$seen");
} else { skip(21, 'no emulated plugin, or no compiled tests here') }

# ---- the real plugin, where nvcc built one ----
my $real = abs_path("$B/libwbcsnet_cuda.so") // '';
if (-e $real) {
    local $ENV{WBCSNET_CUDA} = $real;
    my ($line) = `$wbcsnet doctor` =~ /^\s+cuda\s+(.*)$/m;
    ok($line =~ /^usable$|^off: (?:no CUDA (?:driver|device)|a plugin that cannot be loaded: libcu|a plugin of version)/, "the real plugin: $line", $line);
    # What ptxas said of each kernel: nothing was spilled in those that compute; where memory is the limit, a word or two may be.
    my ($kernels, @spilled) = (0);
    for my $report (glob "$B/obj/gpu/cuda_*.ptxas") {
        open my $f, '<', $report or next;
        my $name = '';
        while (<$f>) {
            $name = $1 if /Function properties for (\S+)/;
            next unless /(\d+) bytes spill stores/;
            my $bytes = $1;
            $kernels++;
            push @spilled, "$report: $name: $bytes bytes" if $bytes > ($name =~ /conv|wgrad|group|mma|fc_update|fc_slices|tiles|winograd/ ? 0 : 16);
        }
    }
    ok($kernels > 0, "ptxas reported on $kernels kernels", '');
    ok(!@spilled, 'no kernel of those that compute spills registers, and no other more than 16 bytes', join "\n", @spilled);
} else { skip(3, 'no plugin here: no nvcc, or a sanitized build') }
print "1..$n\n";
