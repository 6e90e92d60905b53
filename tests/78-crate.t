#!/usr/bin/perl
# An archive of runs says what it holds: versions in environment.txt, an RO-Crate of inputs, program, configurations and outputs.
use strict; use warnings;
use Test::More;
use Digest::SHA; use File::Temp 'tempdir'; use JSON::PP;
for my $tool (qw(make tar gzip)) { plan skip_all => "$tool is not installed" unless grep { -x "$_/$tool" } split /:/, $ENV{PATH} }
delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES)};
my $bin = $ENV{WBCSNET} || 'build/wbcsnet';
my $tmp = tempdir(CLEANUP => 1);
sub slurp { my ($path) = @_; open my $f, '<:raw', $path or return ''; local $/; return scalar <$f> }
sub go { my $said = qx(make --no-print-directory @_ SCALE=smoke NVCC= WBCSNET=$bin WORK=$tmp/w ONLY=cv/wbcsnet2,cv/ramesh,transfer/wbcsnet2-tuned 2>&1); diag $said if $?; return !$? }
ok go('runs') && go('pack-runs', "ARCHIVE=$tmp/a.tar.gz"), 'runs in an archive';
ok go('pack-runs', "ARCHIVE=$tmp/b.tar.gz") && slurp("$tmp/a.tar.gz") eq slurp("$tmp/b.tar.gz"), 'a second one has the same bytes';
ok go('pack-runs') && slurp("$tmp/w/runs-smoke.tar.gz") eq slurp("$tmp/a.tar.gz"), 'without ARCHIVE= it bears the scale in its name';
like scalar(qx(make --no-print-directory help)), qr/^  pack-runs +\S.*build\/runs-SCALE\.tar\.gz/m, 'make lists it';
system("tar xzf $tmp/a.tar.gz -C $tmp");
my $x = "$tmp/wbcsnet-runs";

my $environment = slurp("$x/environment.txt");
like $environment, qr/^build +version +\S/m, 'environment.txt: the program';
like $environment, qr/^build +compiler +\S/m, 'its compiler';
like $environment, qr/^libraries +OpenBLAS +\S/m, 'a library';
like $environment, qr/^system +C library +\S/m, 'the C library';
unlike $environment, qr/\Q$tmp\E/, 'and no path of this machine';

like slurp("$x/manifest"), qr/^date \d{9,}$/m, 'the manifest has the date of the sources';
# What an archive of older tools lacks: by the checkout that made its runs, and by no other.
{
    mkdir "$tmp/old"; system("cp -R $x $tmp/old && rm $tmp/old/wbcsnet-runs/environment.txt $tmp/old/wbcsnet-runs/ro-crate-metadata.json && sed -i '/^date/d' $tmp/old/wbcsnet-runs/manifest");
    my $pack = sub { system("cd $tmp/old && find wbcsnet-runs -type f | LC_ALL=C sort | tar czf $tmp/old.tar.gz -T -") };
    my $complete = sub { my $said = qx(experiments/archive complete $tmp/old.tar.gz @_ 2>&1); return ($? >> 8, $said) };
    mkdir "$tmp/there"; mkdir "$tmp/there/build"; system("ln -s \$(realpath $bin) $tmp/there/build/wbcsnet; git init -q $tmp/there && git -C $tmp/there -c user.name=x -c user.email=x\@y commit -q --allow-empty -m x --date=1999-01-02T00:00:00Z");
    my ($version) = qx($bin --version) =~ /^wbcsnet (\S+)/;
    system("git -C $tmp/there tag $version");
    my $date = qx(git -C $tmp/there log -1 --format=%ct);
    $pack->();
    my ($code, $said) = $complete->("$tmp/there");
    is $code, 0, 'an archive is completed' or diag $said;
    mkdir "$tmp/new"; system("tar xzf $tmp/old.tar.gz -C $tmp/new");
    like slurp("$tmp/new/wbcsnet-runs/environment.txt"), qr/^\Q$environment\Ecollected +when +after the runs, .*\nprogram +\Q$version\E +commit \w{40}$/, 'with the environment, the commit behind a name of the program, and when that was asked for';
    like slurp("$tmp/new/wbcsnet-runs/manifest"), qr/^date $date/m, 'the date of that checkout';
    like slurp("$tmp/new/wbcsnet-runs/ro-crate-metadata.json"), qr/"environment.txt"/, 'and an RO-Crate of it';
    $pack->();
    ($code, $said) = $complete->();
    ok $code == 0 && $said =~ /it has no environment.txt/, 'without a checkout no environment is made up, and that is said';
    my ($run) = glob "$tmp/old/wbcsnet-runs/1/cv/wbcsnet2/seed1/*/run.json";
    my $text = slurp($run);
    for (['machine', 'a run made on another; expected all of them on this machine'], ['version', 'runs of version another; expected some of']) {
        my ($key, $message) = @$_;
        system("sed -i 's/\"$key\": \"[^\"]*\"/\"$key\": \"another\"/' " . ($key eq 'machine' ? $run : join ' ', glob "$tmp/old/wbcsnet-runs/[123]/*/*/seed1/*/run.json"));
        $pack->();
        ($code, $said) = $complete->("$tmp/there");
        ok $code == 3 && $said =~ /$message/, "runs of another $key are refused" or diag $said;
        open my $f, '>', $run or die; print $f $text; close $f;
    }
}

my $crate = eval { decode_json(slurp("$x/ro-crate-metadata.json")) };
ok $crate, 'ro-crate-metadata.json is JSON' or BAIL_OUT("$@");
is $crate->{'@context'}, 'https://w3id.org/ro/crate/1.1/context', 'of RO-Crate 1.1';
my %at = map { $_->{'@id'} => $_ } @{$crate->{'@graph'}};
is scalar keys %at, scalar @{$crate->{'@graph'}}, 'each thing has a name of its own';
is $at{'ro-crate-metadata.json'}{about}{'@id'}, './', 'it speaks of the folder';
ok $at{'./'}{$_}, "which has a $_" for qw(name description datePublished license hasPart);
like $at{'./'}{datePublished}, qr/^\d{4}-\d\d-\d\d$/, 'the date is one';

my @files = grep { $_ ne 'ro-crate-metadata.json' } split /\n/, qx(cd $x && find . -type f -printf '%P\\n');
is join(' ', sort map { $_->{'@id'} } @{$at{'./'}{hasPart}}), join(' ', sort @files), 'every file is a part, and nothing else';
is_deeply [grep { ($at{$_}{sha256} // '') ne Digest::SHA->new(256)->addfile("$x/$_", 'b')->hexdigest || $at{$_}{contentSize} != -s "$x/$_" } @files], [], 'each with its size and SHA-256';
my @actions = grep { $_->{'@type'} eq 'CreateAction' } values %at;
is scalar @actions, () = (qx(cd $x && find . -name run.json)) =~ /\n/g, 'each run is an action';
my ($action) = grep { $_->{name} eq 'cv/wbcsnet2/seed1/fold0' } @actions;
is $at{$action->{instrument}{'@id'}}{version}, decode_json(slurp("$x/1/cv/wbcsnet2/seed1/fold0/run.json"))->{version}, 'of a version of the program';
is $at{$action->{object}[0]{'@id'}}{sha256}, decode_json(slurp("$x/1/cv/wbcsnet2/seed1/fold0/run.json"))->{config}{data}{sha256}, 'on cells with their hash';
my ($command, $config) = split /\n/, $action->{description}, 2;
like $command, qr/^\S*wbcsnet train --data .* --fold 0 --seed 1 .*--out \S+/, 'by a command';
is decode_json($config)->{net}{name}, 'wbcsnet2', 'and a configuration';
my $run = decode_json(slurp("$x/1/cv/wbcsnet2/seed1/fold0/run.json"))->{config};
ok((grep { ($at{$_->{'@id'}}{sha256} // '') eq $run->{net}{sha256} } @{$action->{object}}), 'of a net with its hash');
ok((grep { $at{$_->{'@id'}}{name} =~ /^recipe $run->{recipe}{name}/ } @{$action->{object}}), 'and a recipe');
my ($tuned) = grep { $_->{name} eq 'transfer/wbcsnet2-tuned/seed1/fold0' } @actions;
my ($begun) = grep { $_->{name} =~ /begins from/ } map { $at{$_->{'@id'}} } @{$tuned->{object}};
my ($scratch) = map { decode_json(slurp("$x/1/scratch/wbcsnet2/seed1/foldall/run.json"))->{weights_sha256} } 1;
ok $begun && $begun->{sha256} eq $scratch && $begun->{name} =~ m{of scratch/wbcsnet2/seed1/foldall}, 'a run that begins from weights names them, and the run that left them' or diag explain $tuned->{object};
ok((grep { $_->{'@id'} =~ /predictions\.csv$/ } @{$action->{result}}), 'with its predictions');
my @broken;
sub follow { my ($v) = @_; if (ref $v eq 'HASH') { push @broken, $v->{'@id'} if keys %$v == 1 && $v->{'@id'} && !$at{$v->{'@id'}} && $v->{'@id'} !~ /^https:/; follow($_) for values %$v } elsif (ref $v eq 'ARRAY') { follow($_) for @$v } }
follow($crate->{'@graph'});
is_deeply \@broken, [], 'and every name leads somewhere';
done_testing;
