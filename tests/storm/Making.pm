package Making;    # `make paper SCALE=smoke` that is stopped on its way and given again
use strict; use warnings;
use File::Path 'remove_tree';
use Time::HiRes qw(sleep time);
use Run;
use Scene;

# What is removed first, so that make has something to do.
my %stage = (results => ['results', 'figures', 'paper', 'paper.pdf'], figures => ['figures', 'paper', 'paper.pdf'], report => ['paper', 'paper.pdf']);
my %length;                                         # seconds that an undisturbed make needs from a stage on
my $whole;                                          # the tree that one leaves

sub cases {
    for my $tool (qw(make gnuplot pdflatex bibtex)) { return "no $tool" if system("command -v $tool >/dev/null") }
    return map { my $s = $_; map { my $from = $_; map { "make/$s/$from/$_" } 5, 15, 25, 35, 45, 55, 65, 75, 85, 95 } sort keys %stage } 'KILL', 'TERM';
}

sub tree { "$Run::work/make" }

# Start make in a process group of its own.
sub start {
    my $pid = fork() // die "fork: $!";
    return $pid if $pid;
    setpgrp;
    delete @ENV{qw(LD_PRELOAD MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES)};
    chdir $Scene::root or die;
    open STDIN, '<', '/dev/null'; open STDOUT, '>', "$Run::work/make.txt"; open STDERR, '>&', \*STDOUT;
    exec qw(make --no-print-directory paper SCALE=smoke JOBS=2 NVCC=), 'WORK=' . tree(), 'PAPER=' . tree() . '/paper.pdf', "WBCSNET=$Run::program" or exit 127;
}

sub undisturbed {
    my $begun = time;
    my $code = Run::wait_for(start(), 900);
    die "storm: make paper SCALE=smoke: exit $code\n" . Run::read_file("$Run::work/make.txt") if $code;
    return time - $begun;
}

# The products: what a reader of the paper may come to see.
sub products {
    my $t = Run::tree(tree());
    return { map { $_ => $t->{$_} } grep { m{^(results|figures)/|paper\.pdf$} } keys %$t };
}

sub make_whole {
    remove_tree(tree(), tree() . '.whole');
    undisturbed();
    $whole = products();
    system('cp', '-a', tree(), tree() . '.whole');
}

sub restore {
    my ($from) = @_;
    remove_tree(tree());
    system('cp', '-a', tree() . '.whole', tree());
    remove_tree(map { tree() . "/$_" } @{$stage{$from}});
}

# The whole group is gone before anything is looked at.
sub stop {
    my ($pid, $signal) = @_;
    kill $signal, -$pid;
    my $code = Run::wait_for($pid, 60);
    for (1 .. 200) { last unless kill 0, -$pid; sleep 0.05 }
    kill 'KILL', -$pid;
    return $code;
}

sub stopped {
    my ($signal, $from, $percent) = @_;
    make_whole() unless $whole;
    $length{$from} //= do { restore($from); undisturbed() };
    restore($from);
    my $pid = start();
    sleep $length{$from} * $percent / 100;
    return undef if stop($pid, $signal) eq '0';                          # it was done already
    my ($now, @bad) = products();
    push @bad, map { "$_ is damaged" } grep { ($whole->{$_} // '') ne $now->{$_} && !m{(^|/)(paper/|[^/]*\.(tmp|new|old))|latex|\.log$} } sort keys %$now;
    my $code = Run::wait_for(start(), 900);
    my $said = Run::read_file("$Run::work/make.txt");
    push @bad, 'again: exit ' . $code . ' ' . ($said =~ /^(.*(?:\*\*\*|rror|found).*)$/m ? $1 : '') if $code ne '0';
    my @differ = Run::differences(products(), $whole);
    push @bad, "again: other products: @differ[0 .. ($#differ < 3 ? $#differ : 3)]" if @differ;
    return (\@bad, undef);
}
1;
