#!/usr/bin/perl
# Memory that runs out, once, at every place in turn: a message and exit 1, or the same files as ever; never a crash or other bytes.
use strict; use warnings;
use FindBin; use lib $FindBin::Bin; use Job;

if (($ENV{WBCSNET_B} // '') =~ /asan/) { skip(6, 'the sanitizer has an allocator of its own'); done_testing() }

make_set(tmp('set'), 8, [2, 2, 2, 2, 2]);
# Little address space: from where the program can be loaded at all (the loader's own failure is 127), each command ends, and well or with a message; one that hangs is killed.
# (An emulated processor takes minutes for a step that a real one takes in a second: there it cannot be told from one that hangs.)
delete @ENV{qw(OMP_WAIT_POLICY GOMP_SPINCOUNT OPENBLAS_NUM_THREADS)};
sub limited {
    my ($mb, @args) = @_;
    my $said = tmp('said');
    my $code = system('bash', '-c', 'ulimit -v $0; exec timeout -s KILL 10 "$@" >"$OUT" 2>&1', 1024 * $mb, $Job::program, @args);
    return ($code & 127 ? 1000 + ($code & 127) : $code >> 8, read_file($said));
}
$ENV{OUT} = tmp('said');
my @command = (['describe', 'experiments/nets/wbcsnet2.net'], ['samples', tmp('set'), '--out', tmp('samples.png')],
               [job(net => 'experiments/nets/wbcsnet.net', recipe => 'experiments/recipes/faithful.conf', out => 'small', folds => 2, threads => 2, with => 'epochs=1')]);
run(@{$command[2]}, '--out', tmp('unlimited'));
if ((times)[2] > 8) { skip(1, 'too slow a machine to tell a command that hangs') }
else {
    my ($least) = grep { (limited($_, @{$command[0]}))[0] != 127 } map { 8 * $_ } 4 .. 200;
    my @stuck;
    for my $mb (map { $least + 8 * $_ } 0 .. 5, 16, 20, 24) {
        for my $c (@command) {
            my ($code, $said) = limited($mb, @$c);
            push @stuck, "$mb MB: $c->[0]: exit $code " . ($said =~ s/\n.*//sr) unless $code == 0 || ($code == 1 && $said =~ /memory: found no room|libgomp: /);
        }
    }
    ok($least && !@stuck, 'with 8 to 192 MB beside its libraries the program ends, well or with a message');
    print "# $_\n" for @stuck;
}

# The FAILth place that asks for 200 bytes or more gets none, once; a place is a chain of callers. FAIL=0 counts the places.
write_file(tmp('fail.c'), <<'C');
#include <errno.h>
#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
static long places, fails = -1;
static unsigned long seen[10000];
static _Thread_local int inside;
static int none(size_t n)
{
  void *caller[64];
  unsigned long sum = 1;
  if (fails < 0 || n < 200 || inside) return 0;
  inside = 1;
  for (int k = backtrace(caller, 64); k; k--) sum = (sum ^ (unsigned long)caller[k - 1]) * 1099511628211ul;
  inside = 0;
  for (long i = 0; sum && i <= places && i < 10000; i++)
    if (seen[i] == sum) sum = 0;
    else if (i == places) { seen[places++] = sum; break; }
  if (!sum || places != fails) return 0;
  errno = ENOMEM;
  return 1;
}
void *malloc(size_t n) { return none(n) ? NULL : __libc_malloc(n); }
void *calloc(size_t k, size_t n) { return none(k * n) ? NULL : __libc_calloc(k, n); }
void *realloc(void *p, size_t n) { return none(n) ? NULL : __libc_realloc(p, n); }
__attribute__((constructor)) static void begin(void)
{
  void *caller[4];
  backtrace(caller, 4);                              /* loads a library */
  fails = atol(getenv("FAIL"));
}
__attribute__((destructor)) static void end(void)
{
  FILE *f = fails ? NULL : fopen(getenv("PLACES"), "w");
  if (f) fprintf(f, "%ld", places), fclose(f);
}
C
my $cc = $ENV{CC} // 'cc';
if (system("$cc -O1 -w -shared -fPIC -o " . tmp('fail.so') . ' ' . tmp('fail.c') . ' 2>' . tmp('cc'))) {
    skip(1, 'this C library does not let its allocator be wrapped'); done_testing();
}
$ENV{OMP_NUM_THREADS} = 1, $ENV{OMP_WAIT_POLICY} = 'passive', $ENV{PLACES} = tmp('places');

# so many tensors that the header of the weights is longer than a stream's first buffer
write_file(tmp('long.net'), "name long\ninput 8 8 3\n" . join('', map { "conv conv$_ filters 2 kernel 1\nbn bn$_\n" } 1 .. 20)
    . "fc fc1 units classes\nsoftmax loss\n");
write_file(tmp('tiny.conf'), "batch 4\nepochs 1\n");
my ($code, $out, $err) = run(job(net => tmp('long.net'), folds => 2, out => 'whole', quiet => 1));
ok($code == 0 && unpack('Q<', read_file(tmp('whole/weights.safetensors'))) > 8192, 'a net whose weights have a long header') or print "# $code $err\n";

write_file(tmp('short.net'), "name short\ninput 8 8 3\nconv conv1 filters 2 kernel 1\nbn bn1\nfc fc1 units classes\nsoftmax loss\n");
run(job(net => tmp('short.net'), folds => 2, out => 'short', quiet => 1));

# Everything a command leaves, less what the clock makes different.
sub left {
    my ($stdout) = @_;
    my @file = sort grep { -f } glob(tmp('out/*'));
    return join "\n", $stdout, map { my $t = read_file($_); $t =~ s/.*//s if /run\.json|lock/; "$_ $t" } @file;
}
sub attempt {
    my ($fail, @args) = @_;
    system('rm', '-rf', tmp('out')), mkdir tmp('out');
    local $ENV{FAIL} = $fail; local $ENV{LD_PRELOAD} = tmp('fail.so');
    my $pid = start(@args);
    local $SIG{ALRM} = sub { kill 'KILL', $pid };
    alarm 20; waitpid $pid, 0; alarm 0;
    return ($? & 127 ? 1000 + ($? & 127) : $? >> 8, read_file(tmp('stdout')), read_file(tmp('stderr')));
}
my $runtime = clangs_runtime();
for my $c (['describe', tmp('long.net')], ['samples', tmp('set'), '--out', tmp('out/samples.png')],
           ['features', '--weights', tmp('short/weights.safetensors'), '--data', tmp('set'), '--out', tmp('out')],
           [job(net => tmp('long.net'), folds => 2, out => 'out', quiet => 1)]) {
    if ($runtime && $c->[0] ne 'describe') { skip(1, "$c->[0]: $runtime"); next }
    my ($code, $out) = attempt(0, @$c);
    my ($places, $whole, @bad) = (read_file(tmp('places')), left($out));
    for my $n (1 .. $places) {
        my ($code, $out, $err) = attempt($n, @$c);
        my $good = $code == 0 ? left($out) eq $whole : $code == 1 && $err =~ /memory/i;
        push @bad, "$n: exit $code " . ($err =~ s/\n.*//sr) unless $good;
    }
    ok($code == 0 && $places > 10 && !@bad, "$c->[0]: memory may lack at each of $places places");
    print "# $_\n" for @bad > 12 ? @bad[0 .. 11] : @bad;
}
done_testing();
