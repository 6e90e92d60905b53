#!/usr/bin/perl
# What import and synth do when the disk or the system fails under them, or kills them: no cell is lost without a word, a set that is replaced is
# never gone, nothing half made stays for ever. Failures are brought about by a small library that is loaded before the C library.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Job;
use File::Path qw(make_path);

# FAIL=name:n:errno[:part],...: the nth call of that function (on a path that holds part) fails with errno; 999 kills the process before it.
write_file(tmp('fail.c'), <<'C');
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
static int fails(const char *name, const char *path)
{
  static struct { char name[32], part[64]; int n, why, seen; } rule[8];
  static int rules = -1;
  if (rules < 0) {
    char text[512] = "", *at = text, *one;
    snprintf(text, sizeof text, "%s", getenv("FAIL") ? getenv("FAIL") : "");
    for (rules = 0; (one = strsep(&at, ",")) && *one; rules++)
      sscanf(one, "%31[^:]:%d:%d:%63s", rule[rules].name, &rule[rules].n, &rule[rules].why, rule[rules].part);
  }
  int why = 0;
  for (int i = 0; i < rules; i++)
    if (!strcmp(rule[i].name, name) && strstr(path, rule[i].part) && ++rule[i].seen == rule[i].n) why = rule[i].why;
  if (why == 999) raise(SIGKILL);
  if (why) errno = why;
  return why;
}
#define NEXT(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))
struct dirent *readdir(DIR *d) { return fails("readdir", "") ? NULL : NEXT(readdir)(d); }
int stat(const char *path, struct stat *st) { return fails("stat", path) ? -1 : NEXT(stat)(path, st); }
int access(const char *path, int how) { return fails("access", path) ? -1 : NEXT(access)(path, how); }
int rename(const char *a, const char *b) { return fails("rename", a) ? -1 : NEXT(rename)(a, b); }
int renameat2(int p, const char *a, int q, const char *b, unsigned f) { return fails("renameat2", a) ? -1 : NEXT(renameat2)(p, a, q, b, f); }
void sync(void) { if (!fails("sync", "")) NEXT(sync)(); }
int syncfs(int fd) { return fails("syncfs", "") ? -1 : NEXT(syncfs)(fd); }
C
my $cc = $ENV{CC} || 'cc';
if (system("$cc -shared -fPIC -o " . tmp('fail.so') . ' ' . tmp('fail.c') . ' -ldl 2>' . tmp('cc.txt'))) {
    skip(1, "no compiler builds the failing library: " . read_file(tmp('cc.txt')) =~ s/\n.*//sr);
    done_testing();
}
my ($EIO, $ENOSYS, $KILL) = (5, 38, 999);
sub failing { my ($fail, @args) = @_; local $ENV{FAIL} = $fail; local $ENV{LD_PRELOAD} = tmp('fail.so'); local $ENV{ASAN_OPTIONS} = 'verify_asan_link_order=0:detect_leaks=0'; return run(@args) }
sub cells { return read_file("$_[0]/dataset.json") =~ /"cells": (\d+)/ ? $1 : 'no set' }
sub left { return join ' ', map { s{.*/}{}r } glob "$_[0].*" }

my ($source, $more) = (tmp('source'), tmp('more'));
make_set($source, 12, [3, 3, 3, 3, 3]), make_set($more, 12, [4, 4, 4, 4, 4], seed => 2);
unlink "$_/labels.csv", "$_/dataset.json" for $source, $more;
my @import = ('import', '--size', 12);

# --- what cannot be listed or looked at ---
for my $n (1, 4, 9, 20) {
    my ($code, $out, $err) = failing("readdir:$n:$EIO", @import, $source, tmp("r$n"));
    ok($code == 3 && $err =~ /cannot be read to its end: Input.output error/ && !-e tmp("r$n"), "readdir that fails at call $n is an error") or print "# $code $out $err\n";
}
my ($code, $out, $err) = failing("stat:1:$EIO:source/neutrophil", @import, $source, tmp('s'));
ok($code == 3 && $err =~ m{source/neutrophil.*Input.output error} && !-e tmp('s'), 'stat that fails on a class folder is an error') or print "# $code $out $err\n";
for my $n (1 .. 3) {
    ($code, $out, $err) = failing("stat:$n:$EIO:cell002", @import, $source, tmp("i$n"));
    ok($code == 3 ? $err =~ /cell002.*Input.output error/ : $code == 0 && cells(tmp("i$n")) == 15, "stat $n that fails on an image loses no cell without a word") or print "# $code $out $err\n";
}
($code, $out, $err) = failing("access:1:$EIO:labels.csv", @import, $source, tmp('s'));
ok($code == 3 && $err =~ /labels\.csv: found Input.output error/, 'a table of which nobody knows whether it is there is an error') or print "# $code $out $err\n";
rename "$source/basophil", tmp('elsewhere');
symlink tmp('nowhere'), "$source/basophil";
($code, $out, $err) = run(@import, $source, tmp('s'));
ok($code == 3 && $err =~ m{source/basophil: found nothing that can be looked at.*a link to nothing}s, 'a class folder that is a link to nothing is an error') or print "# $code $out $err\n";
unlink "$source/basophil";
symlink tmp('elsewhere'), "$source/basophil";
($code, $out, $err) = run(@import, $source, tmp('whole'));
ok($code == 0 && cells(tmp('whole')) == 15, 'one that is a link to a folder is entered');
symlink tmp('nowhere'), "$source/basophil/cell900.tif";
($code, $out, $err) = run(@import, $source, tmp('s'));
ok($code == 3 && $err =~ /cell900\.tif: found No such file/, 'an image that is a link to nothing is an error') or print "# $code $out $err\n";
($code, $out, $err) = run(@import, '--skip-bad', $source, tmp('s'));
ok($code == 0 && cells(tmp('s')) == 15 && $out =~ /1 images that cannot be read/, '... which --skip-bad leaves out');
unlink "$source/basophil/cell900.tif";

# --- a set that is replaced is never gone; its labels and its description are the first two renamings ---
sub old_set { system 'rm', '-rf', tmp('d'), glob(tmp('d') . '.*'); run(@import, $source, tmp('d')) }
old_set();
($code, $out, $err) = failing("renameat2:1:$KILL", @import, '--replace', $more, tmp('d'));
ok($code == 1009 && cells(tmp('d')) == 15 && left(tmp('d')) =~ /^d\.tmp\.\d+$/, 'killed before the sets change places: the old one stands');
($code, $out, $err) = run(@import, '--replace', $more, tmp('d'));
ok($code == 0 && cells(tmp('d')) == 20 && left(tmp('d')) eq '', '... and the next import sweeps what the killed one left') or print "# $code ", left(tmp('d')), "\n";
old_set();
($code, $out, $err) = failing("renameat2:1:$ENOSYS", @import, '--replace', $more, tmp('d'));
ok($code == 0 && cells(tmp('d')) == 20 && left(tmp('d')) eq '', 'a disk that exchanges nothing: the set is replaced all the same');
old_set();
($code, $out, $err) = failing("renameat2:1:$ENOSYS,rename:4:$EIO", @import, '--replace', $more, tmp('d'));
ok($code == 1 && $err =~ /cannot write: Input.output error/ && cells(tmp('d')) == 15 && left(tmp('d')) eq '', 'the second renaming fails: the old set is back in its place') or print "# $code $err", left(tmp('d')), "\n";
($code, $out, $err) = failing("renameat2:1:$ENOSYS,rename:4:$EIO,rename:5:$EIO", @import, '--replace', $more, tmp('d'));
my ($aside) = glob tmp('d.old.*');
ok($code == 1 && $aside && $err =~ /hint: .*is now \Q$aside\E$/m && cells($aside) == 15, '... where not even that works, the message says where it is') or print "# $code $err", left(tmp('d')), "\n";
($code, $out, $err) = run('data', tmp('d'));
ok($code == 3 && $err =~ /hint: .*rename \Q$aside\E$/m, '... and so does who looks for it') or print "# $code $err";
($code, $out, $err) = run(@import, $more, tmp('d'));
ok($code == 2 && $err =~ /put back/ && cells(tmp('d')) == 15 && left(tmp('d')) eq '', '... and the next import puts it back') or print "# $code $err", left(tmp('d')), "\n";
old_set();
($code, $out, $err) = failing("renameat2:1:$ENOSYS,rename:4:$KILL", @import, '--replace', $more, tmp('d'));
($code, $out, $err) = run(@import, '--replace', $more, tmp('d'));
ok($code == 0 && cells(tmp('d')) == 20 && left(tmp('d')) eq '', 'killed between two renamings: the next import repairs it') or print "# $code $err", left(tmp('d')), "\n";

# --- drawn fields are there whole or not at all, and a killed synth is in nobody's way ---
my @fields = ('synth', '--set', 'dataset2', '--counts', '3,1,1,1,1', '--fields', tmp('lisc'), tmp('drawn'));
($code, $out, $err) = failing("rename:4:$KILL", @fields);
ok($code == 1009 && !-e tmp('lisc') && !-e tmp('drawn') && left(tmp('lisc')) && left(tmp('drawn')), 'synth, killed on the way: no fields, no set') or print "# $code $err";
($code, $out, $err) = run(@fields);
my @drawn = glob tmp('lisc/Main*/*/*.bmp');
ok($code == 0 && @drawn >= 5 && -e tmp('lisc/groups.csv') && cells(tmp('drawn')) == 7 && left(tmp('lisc')) . left(tmp('drawn')) eq '', 'the same command makes them, and sweeps') or print "# $code $err", scalar @drawn, "\n";
($code, $out, $err) = run(@fields[0 .. 5], tmp('lisc'), tmp('drawn2'));
ok($code == 2 && $err =~ /lisc: found a set of fields in its place.*--replace/s && !-e tmp('drawn2') && left(tmp('drawn2')) eq '', 'fields in the place are told') or print "# $code $err";
make_path(tmp('photographs/Main Dataset'));
($code, $out, $err) = run('synth', '--set', 'dataset2', '--counts', '3,1,1,1,1', '--replace', '--fields', tmp('photographs'), tmp('drawn2'));
ok($code == 2 && $err =~ /something else in its place/ && -d tmp('photographs/Main Dataset'), 'somebody\'s photographs are not drawn over, --replace or not') or print "# $code $err";

# --- what a living process works on is not swept ---
make_path(tmp("d.tmp.$$/x")), make_path(tmp('d.tmp.notes')), make_path(tmp('e.tmp.999999'));
run(@import, '--replace', $more, tmp('d'));
ok(-d tmp("d.tmp.$$/x") && -d tmp('d.tmp.notes') && -d tmp('e.tmp.999999'), 'folders of a living process, of another name or another set stay');

# --- only the disk that holds the set is synced ---
($code, $out, $err) = failing("sync:1:$KILL", @import, $more, tmp('t'));
ok($code == 0 && cells(tmp('t')) == 20, 'nothing waits for every disk of the machine');
($code, $out, $err) = failing("syncfs:1:$EIO", @import, $more, tmp('u'));
ok($code == 1 && $err =~ /cannot write: Input.output error/ && !-e tmp('u') && left(tmp('u')) eq '', 'a disk that cannot keep the set is told');

# --- a standard output that is full: the set is there only when the command said so ---
SKIP: {
    if (!-c '/dev/full') { skip(6, 'no /dev/full here'); last SKIP }
    for my $args (join(' ', @import, $more, tmp('v')), "synth --counts 2,2,2,2,2 --size 16 " . tmp('v')) {
        $code = system("$Job::program $args >/dev/full 2>" . tmp('err')) >> 8;
        ok($code == 1 && read_file(tmp('err')) =~ /standard output: found cannot write: No space/ && !-e tmp('v') && left(tmp('v')) eq '', "no room for the report of '" . substr($args, 0, 6) . "': no set")
            or print "# $code ", read_file(tmp('err')), left(tmp('v')), "\n";
    }
    for my $args ('--help', '--version', 'train --help', 'import --help') {
        $code = system("$Job::program $args >/dev/full 2>" . tmp('err')) >> 8;
        ok($code == 1 && read_file(tmp('err')) =~ /standard output: found cannot write: No space/, "$args into a full device: exit 1");
    }
}

# --- a limit on the size of files kills nobody, wherever it strikes ---
if (my $why = clangs_runtime()) { skip(2, $why) }
else {
    $code = system("sh -c 'ulimit -f 1; exec $Job::program synth --counts 2,2,2,2,2 --size 64 " . tmp('w') . "' >/dev/null 2>" . tmp('err')) >> 8;
    ok($code == 1 && read_file(tmp('err')) =~ /cannot write: File too large\b.*ulimit/s && !-e tmp('w') && left(tmp('w')) eq '', 'synth under a limit on files: a message and exit 1') or print "# $code ", read_file(tmp('err'));
    $code = system("sh -c 'ulimit -f 1; exec $Job::program import --size 64 $more " . tmp('w') . "' >/dev/null 2>" . tmp('err')) >> 8;
    ok($code == 1 && read_file(tmp('err')) =~ /cannot write: File too large/ && !-e tmp('w') && left(tmp('w')) eq '', 'import too') or print "# $code ", read_file(tmp('err'));
}
done_testing();
