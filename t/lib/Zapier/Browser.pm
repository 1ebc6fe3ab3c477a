package Zapier::Browser;

# Chromium without a window, told what to do by the DevTools protocol.
#
#   my $browser = Zapier::Browser->new->start;
#   my $page    = $browser->page;             # a profile of its own
#   $page->go('http://127.0.0.1:8080/');
#   $page->wait_for('#allow');
#   $page->click('#allow');                   # with the mouse
#   is $page->text('h1'), 'Hello';
#   my @cookies = $page->cookies;
#   my $tab = $page->tab;                     # the same profile
#
# Where there is no Chromium, Zapier::Browser->there is false.

use strict;
use warnings;

use parent 'Zapier::Process';

use Mojo::IOLoop;
use Mojo::JSON qw(encode_json);
use Mojo::UserAgent;
use Time::HiRes qw(time);


sub there {
    return grep { -x "$_/chromium" } split /:/, $ENV{PATH};
}


# The sandbox of Chromium does not work for root, and the pages are ours;
# /dev/shm is small in containers.

sub start {
    my ($self) = @_;
    my $file = "$self->{dir}/DevToolsActivePort";

    local $ENV{HOME} = $self->{dir};

    $self->spawn('chromium', '--headless', '--no-sandbox',
                 '--disable-dev-shm-usage', '--disable-gpu',
                 '--disable-extensions', '--disable-background-networking',
                 '--disable-component-update', '--disable-sync',
                 '--disable-breakpad', '--no-first-run', '--no-proxy-server',
                 '--ignore-certificate-errors', '--remote-debugging-port=0',
                 "--user-data-dir=$self->{dir}", 'about:blank');

    my $until = time + 60;

    my ($port, $path);

    until ($path) {
        die 'Chromium: ', Zapier::Process::slurp("$self->{dir}/stderr")
            if time > $until || !$self->running;
        Time::HiRes::sleep(0.05);
        ($port, $path) = Zapier::Process::slurp($file) =~ /^(\d+)\n(\S+)/;
    }

    return $self->open("ws://127.0.0.1:$port$path");
}


sub open {
    my ($self, $url) = @_;

    $self->{ua} = Mojo::UserAgent->new(inactivity_timeout => 0,
                                       max_response_size => 0);
    $self->{answers} = {};
    $self->{tick} = Mojo::IOLoop->recurring(0.05 => sub { });

    $self->{ua}->websocket($url => sub {
        my ($ua, $tx) = @_;

        $self->{refused} = $tx->error ? $tx->error->{message} : 'no websocket'
            if !$tx->is_websocket;
        return if $self->{refused};

        $tx->max_websocket_size(64 * 1024 * 1024);
        $tx->on(json => sub {
            my ($tx, $data) = @_;

            $self->{answers}{$data->{id}} = $data if $data->{id};
        });
        $self->{socket} = $tx;
    });

    $self->wait(sub { $self->{socket} || $self->{refused} });
    die "Chromium: $self->{refused}" if $self->{refused};

    return $self;
}


sub wait {
    my ($self, $what, $seconds) = @_;
    my $until = time + ($seconds // 20);

    until ($what->()) {
        return 0 if time > $until;
        Mojo::IOLoop->one_tick;
    }

    return 1;
}


# Calls a method of the protocol and returns its result.

sub call {
    my ($self, $method, $params, $session) = @_;
    my $id = ++$self->{id};

    $self->{socket}->send({json => {
        id => $id, method => $method, params => $params // {},
        $session ? (sessionId => $session) : (),
    }});

    $self->wait(sub { $self->{answers}{$id} })
        or die "Chromium: no answer to $method";

    my $answer = delete $self->{answers}{$id};

    die "Chromium: $method: $answer->{error}{message}" if $answer->{error};
    return $answer->{result};
}


sub page {
    my ($self) = @_;
    my $profile = $self->call('Target.createBrowserContext');

    return Zapier::Browser::Page->new($self, $profile->{browserContextId});
}


sub stop {
    my ($self, @args) = @_;

    if (my $socket = delete $self->{socket}) {
        $socket->send({json => {id => ++$self->{id},
                                method => 'Browser.close'}});
        $self->wait(sub { !$self->running });
    }

    Mojo::IOLoop->remove($self->{tick}) if $self->{tick};

    return $self->SUPER::stop(@args);
}


package Zapier::Browser::Page;

use strict;
use warnings;

use Mojo::JSON qw(encode_json false true);


sub new {
    my ($class, $browser, $profile) = @_;
    my $self = bless {browser => $browser, profile => $profile}, $class;

    my $target = $browser->call('Target.createTarget', {
        url => 'about:blank', browserContextId => $profile});

    $self->{session} = $browser->call('Target.attachToTarget', {
        targetId => $target->{targetId}, flatten => true})->{sessionId};
    $self->call('Page.enable');

    return $self;
}


sub tab { ref($_[0])->new(@{$_[0]}{qw(browser profile)}) }


sub call {
    my ($self, $method, $params) = @_;

    return $self->{browser}->call($method, $params, $self->{session});
}


sub go { $_[0]->call('Page.navigate', {url => $_[1]}); $_[0] }
sub reload { $_[0]->call('Page.reload'); $_[0] }


# The value of an expression; undef if the page is being left.

sub eval {
    my ($self, $code) = @_;
    my $result = CORE::eval {
        $self->call('Runtime.evaluate', {expression => $code,
                                         returnByValue => true});
    };

    return $result ? $result->{result}{value} : undef;
}


# Waits for an element, whose text must match if there is a pattern.

sub wait_for {
    my ($self, $selector, $pattern) = @_;

    return $self->{browser}->wait(sub {
        my $text = $self->text($selector);
        return defined $text && (!$pattern || $text =~ $pattern);
    });
}


sub text {
    my ($self, $selector) = @_;

    return $self->eval(sprintf 'document.readyState == "complete" ? '
        . '(document.querySelector(%s) || {}).textContent : undefined',
        encode_json($selector));
}


sub url { $_[0]->eval('location.href') }


sub click {
    my ($self, $selector) = @_;
    my $at = $self->eval(sprintf '(() => { const r = document'
        . '.querySelector(%s).getBoundingClientRect();'
        . 'return {x: r.x + r.width / 2, y: r.y + r.height / 2} })()',
        encode_json($selector));

    # a tab behind another one is slow to take notice
    $self->call('Page.bringToFront');

    for my $type (qw(mouseMoved mousePressed mouseReleased)) {
        $self->call('Input.dispatchMouseEvent', {
            type => $type, %$at,
            $type eq 'mouseMoved' ? ()
                                  : (button => 'left', clickCount => 1)});
    }

    return $self;
}


# All cookies of the profile

sub cookies {
    my ($self) = @_;

    return @{$self->{browser}->call('Storage.getCookies', {
        browserContextId => $self->{profile}})->{cookies}};
}


1;
