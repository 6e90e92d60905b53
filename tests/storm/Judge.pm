package Judge;    # one case: disturb a command, look, give it again, look again; answers the list of what was wrong (empty: nothing)
use strict; use warnings;
use File::Path 'remove_tree';
use Run;
use Scene;

our %reference;                                     # of a scene, undisturbed: { out, tree, before }

# An empty folder with what the scene finds there.
sub fresh {
    my ($cwd, $scene) = @_;
    mkdir $cwd;
    opendir my $h, $cwd or die "$cwd: $!";
    remove_tree(map { "$cwd/$_" } grep { !/^(in|\.\.?)$/ } readdir $h);
    symlink '../in', "$cwd/in" unless -l "$cwd/in";
    my $before = $Scene::scene{$scene}{before};
    system('cp', '-r', "$cwd/in/$before", "$cwd/out") if $before;
}

sub undisturbed {
    my ($scene, $cwd) = @_;
    fresh($cwd, $scene);
    my $before = Run::tree($cwd);
    my $r = Run::program($cwd, $Scene::scene{$scene}{run}, fault => $Run::library && 'count');
    die "storm: $scene does not run undisturbed: exit $r->{code}\n$r->{err}" if $r->{code};
    return $reference{$scene} = { out => Run::printed($r->{out}), tree => Run::tree($cwd), before => $before, counts => $r->{counts} };
}

# How a program may end that could not do its work: one message and a documented exit code.
sub ending {
    my ($r) = @_;
    return 'hangs' if $r->{code} eq 'hang';
    return "dies of $r->{code}" if $r->{code} !~ /^\d+$/;
    return () if $r->{code} == 0;
    my @bad;
    push @bad, "exit $r->{code}" if $r->{code} != 1 && $r->{code} != 3;
    my @told = $r->{err} =~ /^((?:wbcsnet|libgomp): (?!warning:).*)$/mg;
    my $mute = $r->{hit} && $r->{hit}{mute};                             # its standard error is what fails
    push @bad, scalar(@told) . ' messages' if @told > 1;
    push @bad, 'no message' unless @told || $mute || $r->{code} == 3 && $r->{err} =~ /^wbcsnet: warning:/m;
    push @bad, 'a message without a reason' if $r->{err} =~ /: Success|\(null\)/;
    return @bad;
}

# Whatever stands under a final name is whole: the old file, the new one, or a log and checkpoint on their way.
sub damage {
    my ($scene, $now) = @_;
    my ($ref, $anew) = ($reference{$scene}, $Scene::scene{$scene}{anew});
    my @bad;
    for my $f (sort keys %$now) {
        my ($is, $new, $old) = ($now->{$f}, $ref->{tree}{$f} // '', $ref->{before}{$f} // '');
        next if Run::temporary($f) || $f =~ m{(^|/)lock$|checkpoint\.safetensors$} || $is eq $new || $is eq $old;
        next if $f =~ /log\.csv$/ && index($new, $is) == 0 && $is =~ /\n\z/;
        push @bad, "$f is damaged";
    }
    push @bad, map { "$_ is gone" } grep { !exists $now->{$_} && exists $ref->{tree}{$_} && !($anew && /$anew/) } sort keys %{$ref->{before}};
    return @bad;
}

sub left { my ($t) = @_; my @l = grep { Run::temporary($_) } sort keys %$t; @l ? "leaves $l[0]" . (@l > 1 ? " and $#l more" : '') : () }

# The same command again, undisturbed: done, to the same bits, nothing left behind.
sub again {
    my ($scene, $cwd, $done) = @_;
    my $ref = $reference{$scene};
    my $r = Run::program($cwd, $Scene::scene{$scene}{run});
    my $now = Run::tree($cwd);
    my @differ = Run::differences($now, $ref->{tree});
    my @bad;
    push @bad, "again: exit $r->{code} " . ($r->{err} =~ /^(wbcsnet: (?!warning).*)/m ? $1 : '') if $r->{code} ne '0' && !($r->{code} eq '2' && $done);
    push @bad, "again: other files: @differ[0 .. ($#differ < 3 ? $#differ : 3)]" if @differ;
    push @bad, map { "again: $_" } left($now);
    return @bad;
}

# A fault, a limit, a full disk. how: see Run::program.
sub disturbed {
    my ($scene, $cwd, %how) = @_;
    my $ref = $reference{$scene};
    my $room = delete $how{room};
    fresh($cwd, $scene);
    fill($cwd, $room) if defined $room;
    my $r = Run::program($cwd, $Scene::scene{$scene}{run}, %how);
    unlink "$cwd/fill";
    return undef if $how{fault} && !$r->{hit};                           # another order of calls: this one never came
    return undef if $how{limit} && $r->{code} eq '127';                  # the program could not be loaded
    my $now = Run::tree($cwd);
    my @bad = ending($r);
    if ($r->{code} eq '0') {
        my $kept = ($how{fault} // '') =~ /^unlink/;                         # what could not be removed is removed the next time
        my @differ = grep { !$kept || exists $ref->{tree}{$_} } Run::differences($now, $ref->{tree});
        push @bad, again($scene, $cwd, 1) if $kept;
        push @bad, "exit 0 and other files: @differ[0 .. ($#differ < 3 ? $#differ : 3)]" if @differ;
        push @bad, 'exit 0 and other words' if Run::printed($r->{out}) ne $ref->{out} && !$how{stdout};
        push @bad, 'exit 0 and nothing printed' if $how{stdout} && length $ref->{out};
        return (\@bad, $r);
    }
    push @bad, damage($scene, $now);
    push @bad, left($now) unless ($how{fault} // '') =~ /unlink|list|alloc\+/ || $r->{code} !~ /^\d+$/;    # what it takes to remove it
    return ([@bad, again($scene, $cwd)], $r);
}

sub killed {
    my ($scene, $cwd, $n) = @_;
    my $ref = $reference{$scene};
    fresh($cwd, $scene);
    my $r = Run::program($cwd, $Scene::scene{$scene}{run}, fault => "change:$n:-9");
    return undef if $r->{code} ne 'signal 9';
    my $now = Run::tree($cwd);
    return ([damage($scene, $now), again($scene, $cwd, !Run::differences($now, $ref->{tree}))], $r);
}

# Fill a small file system until $room KiB are left.
sub fill {
    my ($cwd, $room) = @_;
    my $free = (split ' ', (`df -Pk '$cwd'`)[1])[3] - $room;
    system("dd if=/dev/zero of='$cwd/fill' bs=1k count=$free 2>/dev/null") if $free > 0;
}

# ---- damaged files ----
sub set_up {
    my ($cwd, $what) = @_;
    fresh($cwd, 'data');
    my $copy = $Scene::damage{$what}{copy};
    system('cp', '-r', "$cwd/in/$_", "$cwd/$copy->{$_}") for keys %$copy;
}

# What a reader makes of the whole file; damaged files must give the same or an error.
my %whole;
sub whole {
    my ($cwd, $what, $reader) = @_;
    return $whole{$what, $reader} //= do {
        set_up($cwd, $what);
        my $r = Run::program($cwd, $Scene::damage{$what}{readers}{$reader});
        die "storm: $reader does not read the whole $what: $r->{err}" if $r->{code};
        { out => Run::printed($r->{out}), tree => Run::tree($cwd) };
    };
}

sub spoil {
    my ($bytes, $how) = @_;
    if ($how =~ m{^cut/(\d+)$}) { return substr $bytes, 0, $1 }
    my ($at, $bit) = $how =~ m{^flip/(\d+)\.([0-7])$} or die "storm: $how?\n";
    substr($bytes, $at, 1) ^= chr(1 << $bit) if $at < length $bytes;
    return $bytes;
}

sub damaged {
    my ($cwd, $what, $reader, $how) = @_;
    my ($d, $ref) = ($Scene::damage{$what}, whole($cwd, $what, $reader));
    set_up($cwd, $what);
    my $bytes = Run::read_file("$cwd/$d->{file}");
    my $spoilt = spoil($bytes, $how);
    return undef if $spoilt eq $bytes;
    Run::write_file("$cwd/$d->{file}", $spoilt);
    my $r = Run::program($cwd, $d->{readers}{$reader});
    my @bad = ending($r);
    push @bad, 'exit 1' if $r->{code} eq '1';
    if ($r->{code} eq '0' && !$d->{unsummed}) {
        my @differ = grep { !$d->{unread} || $_ ne $d->{file} } Run::differences(Run::tree($cwd), $ref->{tree}, Scene::results_of($reader));
        push @bad, "another result: @differ[0 .. ($#differ < 2 ? $#differ : 2)]" if @differ;
        # A command that finds its finished run damaged says so, and runs it again to the same files.
        my $mended = $reader eq 'again' && $r->{err} =~ /^wbcsnet: warning: .*: finished, but .* (?:is missing|is not as it was written)$/m;
        push @bad, 'another result: its words' if Run::printed($r->{out}) ne $ref->{out} && !$mended;
    }
    push @bad, around($bytes, $spoilt, $how) if @bad;
    return (\@bad, $r);
}

# The damaged place, for the report.
sub around {
    my ($bytes, $spoilt, $how) = @_;
    my ($at) = $how =~ /(\d+)/;
    my $from = $at > 20 ? $at - 20 : 0;
    my $text = substr($bytes, $from, $at - $from) . '<' . ($how =~ /^cut/ ? 'CUT' : substr($bytes, $at, 1) . ' to ' . substr($spoilt, $at, 1)) . '>' . substr($bytes, $at + ($how =~ /^flip/), 12);
    $text =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
    return "at $text";
}
1;
