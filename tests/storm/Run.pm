package Run;    # run the program, disturbed or not, and look at what it left
use strict; use warnings;

our ($program, $library, $work);                    # wbcsnet; fault.so or undef; the storm's folder; all absolute
my %quiet = (OMP_WAIT_POLICY => 'passive', OMP_NUM_THREADS => 1, OPENBLAS_NUM_THREADS => 1, LC_ALL => 'C');

sub write_file { my ($path, $text) = @_; open my $f, '>:raw', $path or die "$path: $!"; print $f $text; close $f or die "$path: $!" }
sub read_file { my ($path) = @_; open my $f, '<:raw', $path or return ''; local $/; my $t = <$f>; $t // '' }

# Run in folder $cwd: { code, out, err, hit, counts }; code: the exit status, 'signal N' or 'hang'. How it is disturbed: fault => CLASS:N:ERRNO;
# limit => ulimit's words; stdout => where to.
sub program {
    my ($cwd, $args, %o) = @_;
    my ($out, $err, $log) = map { "$work/$$.$_" } 'out', 'err', 'log';
    unlink $log;
    my $pid = fork() // die "fork: $!";
    if (!$pid) {
        setpgrp;
        delete @ENV{qw(LD_PRELOAD MAKEFLAGS MAKELEVEL MFLAGS)};
        %ENV = (%ENV, %quiet);
        %ENV = (%ENV, LD_PRELOAD => $library, STORM_LOG => $log) if $o{fault};
        $ENV{STORM_FAULT} = $o{fault} if ($o{fault} // 'count') ne 'count';
        chdir $cwd or die "$cwd: $!";
        open STDIN, '<', '/dev/null'; open STDOUT, '>', $o{stdout} // $out; open STDERR, '>', $err;
        exec $o{limit} ? ('/bin/sh', '-c', "ulimit $o{limit}; exec \"\$@\"", 'sh', $program, @$args) : ($program, @$args) or exit 127;
    }
    my $code = wait_for($pid, 60);
    my %r = (code => $code, out => $o{stdout} ? '' : read_file($out), err => read_file($err), counts => {});
    my $seen = read_file($log);
    $r{counts}{$1} = $2 while $seen =~ /^count (\w+) (\d+)$/mg;
    my $all_writes = ($o{fault} // '') =~ /^write\+/;
    $r{hit} = { frames => [split ' ', $3], mute => $all_writes || $1 eq 'write' && $2 == 2 } if $seen =~ /^hit (\w+) (-?\d+)(.*)$/m;
    return \%r;
}

sub wait_for {
    my ($pid, $seconds) = @_;
    my $hang = 0;
    local $SIG{ALRM} = sub { $hang = 1; kill 'KILL', -$pid };
    alarm $seconds;
    waitpid $pid, 0;
    alarm 0;
    return $hang ? 'hang' : $? & 127 ? 'signal ' . ($? & 127) : $? >> 8;
}

# The files below a folder, links apart: { path => contents }, without what depends on the clock.
sub tree {
    my ($folder) = @_;
    my (%t, @todo) = ();
    @todo = ('');
    while (defined(my $d = shift @todo)) {
        opendir my $h, "$folder/$d" or next;
        for my $name (sort grep { !/^\.\.?$/ } readdir $h) {
            my $path = "$d$name";
            if (-l "$folder/$path") { next }
            elsif (-d _) { push @todo, "$path/"; $t{"$path/"} = '' if temporary($path) }
            else { $t{$path} = timeless($path, read_file("$folder/$path")) }
        }
    }
    return \%t;
}
sub temporary { $_[0] =~ /\.(tmp|old)\.\d/ }
sub timeless {
    my ($path, $text) = @_;
    return $text unless $path =~ /run\.json$/;
    $text =~ s/"(seconds|stepping|images_per_second|infer_images_per_second|machine)": ("[^"]*"|[^,}]*)/"$1": -/g;
    $text =~ s/\n "sha256": "\w{64}"}/\n "sha256": -}/;    # the record's own, over the seconds above
    return $text;
}
sub printed { my ($text) = @_; $text =~ s/\bin [\d.]+ s\b/in - s/g; $text }

# The paths in which two trees differ, temporaries apart.
sub differences {
    my ($a, $b, $among) = @_;
    my %all = (%$a, %$b);
    return grep { !temporary($_) && (!$among || /$among/) && ($a->{$_} // "\0") ne ($b->{$_} // "\0") } sort keys %all;
}
1;
