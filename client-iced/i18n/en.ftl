# What the desktop program says. The same names stand in the same order in every language; a test compares them.

## The window

window-title = Endtoend
window-title-unread = Endtoend ({ $count })
next = Next
back = Back
cancel = Cancel
copy = Copy
dismiss = Close
loading = Loading…
you = You
you-said = You:

## Time

today = Today
yesterday = Yesterday
long-date = { $weekday }, { $day } { $month } { $year }
short-date = { $day }/{ $month }/{ $year }
monday = Monday
tuesday = Tuesday
wednesday = Wednesday
thursday = Thursday
friday = Friday
saturday = Saturday
sunday = Sunday
january = January
february = February
march = March
april = April
may = May
june = June
july = July
august = August
september = September
october = October
november = November
december = December
seconds = { $count ->
    [one] 1 second
   *[other] { $count } seconds
}
minutes = { $count ->
    [one] 1 minute
   *[other] { $count } minutes
}
hours = { $count ->
    [one] 1 hour
   *[other] { $count } hours
}
days = { $count ->
    [one] 1 day
   *[other] { $count } days
}
weeks = { $count ->
    [one] 1 week
   *[other] { $count } weeks
}

## The way to an account

welcome-title = Welcome to Endtoend
welcome-text = Messages that only you and the people you write to can read: not the server, not anybody in between.
welcome-note = You need the address of a server. Whoever runs it can give it to you.
create-account = Create account
sign-in = Sign in
sign-in-title = Sign in
link-choice = With another device
link-choice-note = You have a device in the account. It lets this one in.
recover-choice = With the password alone
recover-choice-note = You have no other device, and you left a backup at the server before.
restore-choice = From a backup file
restore-choice-note = You have a file that was written before, and its passphrase. It brings back what was said.
link-title = Link this device
link-note = Next, this device shows a code. You put it into your other device. Only if the server asks everybody for a password of its own, it goes here.
recover-title = Who are you?
server-title = Which server?
server-note = Paste the whole address. It begins with endtoend:// and ends with a pin, by which this device knows the server.
server-address = Address of the server
from-code = From a picture of a code…
servers-recent = Used before on this computer:
way = Way to the network
way-link = Way to the network: { $way }…
way-note = It is chosen for this profile, and can be changed later in the settings.
way-automatic = Automatic
way-automatic-note = A server on this machine directly, every other one through Tor.
way-tor = Through Tor
way-tor-note = This program brings Tor along. The server does not learn from where you write.
way-proxy = Through a proxy
way-proxy-note = For a Tor that runs on this machine already, or another SOCKS5 proxy.
way-direct = Without Tor
way-direct-note = The server and every network on the way see this machine's address.
proxy = Address and port of the proxy
proxy-bad = A proxy is an address of digits and a port, like 127.0.0.1:9050. A name would have to be looked up, and whoever is asked would learn of it.
exposure = { $server } and every network on the way will learn the address of this machine, and with it most often where you are and who you are. They see when you write and how much, every time. What they have learned, nobody can take back.
exposure-server = The server
exposure-wanted = I have read this, and want to be seen
exposure-unconfirmed = First say that you want to be seen. Or take one of the other ways.
exposure-go = Show my address
bridges = Bridges
bridges-note = Where Tor is hindered, or must not be seen, it can begin at bridges: relays that no list names. People who help give them out as lines, or as a picture of a code.
bridges-hint = One bridge a line
bridges-read = From a file or a picture of a code…
bridges-remove = No bridges
bridges-bad = There is a line that is no bridge. Copy it whole.
bridges-none = There is no bridge in it.
bridges-too-many = That is more than the 32 bridges that are kept.
program = Program that speaks { $transport }, with its whole path
program-found = { $transport } is spoken by { $path }
code-none = There is no code in this picture that can be read. Is all of it there, and sharp?
backup-title = Restore a backup
restore-note = The file holds your account's keys and what was said. Files that people sent are fetched again, as far as the server has them.
backup-path = Where the file lies
backup-secret = Passphrase of the backup
backup-missing = The file and its passphrase are both needed.
backup-server-note = Where your account lives is in the backup. Only if the server asks everybody for a password of its own, it goes here.
backup-none = That file is no backup of this program. Choose another.
backup-newer = A newer version of this program has written the backup. Install that version.
backup-passphrase = That is not the passphrase of this backup. Try again; nobody can open it without.
backup-damaged = The backup is damaged. Take another copy of the file.
pinned-note = This device will talk to this server only if it proves both of these keys:
pinned-tls = Key that vouches for its certificate
pinned-identity = Its own identity
who-title = What are you called?
handle = Handle
handle-note = 3 to 32 letters, digits, dots, dashes and underlines. Others write to you by it.
optional-note = Some servers ask for one of these. Whoever gave you the address will have told you.
invite = Invitation (if you have one)
server-password = Password of the server (if it has one)
invite-form = An invitation has 26 letters and digits. Copy it whole.
password-title = Your password
password = Password
password-again = The same password again
password-of-account = The password of your account. It opens this device too.
password-advice = Four or five words that have nothing to do with each other are good, and easy to keep in mind.
password-honest = Nobody can reset it: not the server, not us. If you forget it, what is on this device stays closed for good, and without another device the account is lost.
password-is-set = This device has its password already, from the attempt before. To choose another one, start over.
password-weak = That is guessed too soon. Take a longer one, of several words.
password-differs = The two are not the same. Type them once more.
password-missing = Type the password first.
strength-seconds = Guessed within seconds.
strength-minutes = Guessed within an hour by somebody who has your disk.
strength-days = Stands for some days against somebody who has your disk. A word more makes it much better.
strength-years = Stands for years against somebody who has your disk.
strength-centuries = Stands longer than anybody lives.
profile-without-account = This device has a password and no account yet.
start-over = Start over
waiting-title = One moment
step-opening = Making a key of your password. This takes a second or two on purpose: guessing should be slow.
step-asking = Asking the server…
step-restoring = Bringing back what was said…
step-cancelling = Stopping…
step-code = On your other device, open Settings, then Devices, and put this code in. It is good for a few minutes.
step-digits = Your other device has to show the same digits. If it does, say so there; if not, cancel here.
unlock-title = Welcome back
unlock-note = Your messages on this device are sealed. Your password opens them.
open = Open

## The list

settings = Settings
filter = Search (Ctrl+F)
requests = Requests
conversations = Conversations
no-conversations = No conversations yet. Press + to write to somebody.
none-found = Nothing found. Press + to write to somebody new.
messages-found = Messages
nameless = Has not said who it is
identity-changed-short = Identity has changed
blocked-short = Blocked
typing = Typing…
draft = Draft:
nothing-said = Nothing said yet
online = Connected
online-tor = Connected through Tor
online-proxy = Connected through a proxy
connecting = Connecting…
offline = { $why }
offline-retry = { $why } Trying again in { $left }.
new-chat = New conversation
new-chat-note = The handle of somebody on your server, or the link that somebody gave you.
handle-or-link = Handle or link
write = Write
palette = People, messages, commands
none-here = Nothing found.
next-unread = Next conversation with something new

## The conversation

nothing-open = Choose a conversation, or press + to begin one.
details = Details
disappear-after = Messages disappear after { $after }
first-words = Nothing said yet. What you write, only { $name } can read.
beginning = The beginning of your conversation with { $name }
new-below = New messages
to-the-end = To the end
unread-above = { $count ->
    [one] ↑ One message that you have not read
   *[other] ↑ { $count } messages that you have not read
}
to-day = To a day
day-form = 2026-11-26 or 26.11.2026
day-note = The first message of that day, or of the next one on which something was said.
emoji-find = Find an emoji
link-open = Open { $host }
link-title-open = Open this link?
link-note-open = It leads out of this program, to this host:
link-disguised = The link was written so that it looks as if it led somewhere else.
link-unsealed = On the way there, others can read along and change what comes.
select-words = Select
select-note = Mark what you need, and copy it with Ctrl+C.
copy-all = Copy all
write-to = Write to { $name }
send = Send
file-to = Files for { $name }
file-choose = Choose…
file-path = Or where one lies
file-note = Or let files fall on the window, or paste a picture. JPEG, PNG and WebP pictures are sent without what the camera wrote into them; everything else is sent as it is.
picture = Picture
picture-pasted = Picture from the clipboard
file-fetch = Fetch
file-save = Save
play = Play
play-title = Play with another program?
play-note = This program plays no sound. The system's program for it is given a copy without encryption, which is taken away when this profile is locked or closed; what that program keeps of it is not for this one to say.
file-again = Try again
file-far = { $done } of { $all }
file-saved = Saved as { $path }
size-bytes = { $count ->
    [one] 1 byte
   *[other] { $count } bytes
}
size-kilobytes = { $count } kB
size-megabytes = { $count } MB
size-gigabytes = { $count } GB
decimal-mark = .
fault-gone = The server does not have it any more.
fault-forged = What the server gave is not what was sent.
fault-no-room = The server has no room for it at the moment.
fault-not-taken = The server takes no file of this length.
fault-disk = This device's disk is full or broken.
fault-refused = The server refused.
bytes-left = { $count ->
    [one] 1 byte left
   *[other] { $count } bytes left
}
bytes-over = { $count ->
    [one] 1 byte too long: say it in two messages
   *[other] { $count } bytes too long: say it in two messages
}
answering = Answering
editing = Changing a message
edited = changed
message-deleted = Message deleted
message-unknown = A message that only a newer version can show
message-card = Contact: { $name }
not-sent = not sent
answered-elsewhere = An earlier message
answer = Answer
edit = Change
retry = Send again
delete-everywhere = Delete for everyone
delete-here = Delete here
cannot-write = You cannot write here at the moment.
request = { $name } would like to write to you. They do not learn whether you have read this.
identity-changed = The identity of { $name } has changed. It may be a new device, or somebody in between. Nothing is sent until you have compared the safety number and accepted the new identity.
blocked = You have blocked { $name }.
ignored = You ignore { $name }.
accept = Accept
ignore = Ignore
block = Block
unblock = Unblock
compare = Compare safety number
notice-missing = { $count ->
    [one] One message from { $name } did not come.
   *[other] { $count } messages from { $name } did not come.
}
notice-expired = { $count ->
    [one] One message from { $name } did not come. A server keeps nothing longer than 30 days, or it has left something out.
   *[other] { $count } messages from { $name } did not come. A server keeps nothing longer than 30 days, or it has left something out.
}
notice-blocked = { $count ->
    [one] One message from { $name } was written while blocked.
   *[other] { $count } messages from { $name } were written while blocked.
}
notice-late = { $count ->
    [one] One message from { $name } came after later ones.
   *[other] { $count } messages from { $name } came after later ones.
}
notice-mended = { $count ->
    [one] One message from { $name } was missing, and has come after all.
   *[other] { $count } messages from { $name } were missing, and have come after all.
}
notice-forked = What a device of { $name } says does not follow from what it said before: it was set back to an older copy, or somebody else uses its keys. Ask by another way than this. ({ $count })
notice-restarted = A device of { $name } counts its messages anew: whether all of those before came is not known. ({ $count })

## The panel

safety-title = Safety number
safety-note = Compare it with { $name } by another way than this one: by voice, or side by side. If both see the same digits, nobody is in between.
safety-changed = The identity of { $name } is not the one you trusted before. Compare this new number before you accept it.
mark-verified = Both see the same digits
is-verified = You have compared this number.
unmark-verified = Not compared after all
accept-identity = Accept the new identity
code-own = Show my code
code-own-note = If { $name } scans this from your screen, there is nothing left to compare on that side.
code-theirs = Read their code…
code-other-person = That is somebody else's code.
device-known = known here since { $when }
device-compared = ✓ was there when you compared
device-later = came after you compared
devices-of-note = All of them prove the identity that the safety number is of. Whoever gets a device into somebody's account writes and reads as that person from then on: if one came that you did not expect, ask by another way.
devices-unknown = Not known yet: the server is asked when you write.
removal = Remove the conversation…
removal-note = Everything that was said here goes, on all your devices.
removal-title = Remove the conversation with { $name }?
removal-lost = Everything that was said with { $name } goes for good, on this device and on your others: messages, files, what you have begun, and what waits to be sent. Nothing brings it back but a backup that you have made before.
removal-kept = { $name } is not told, and keeps what has come there.
removal-contact = And forget who this is
removal-contact-note = The name you gave, what you compared and decided, and how they show themselves go too. What they write later comes as from a stranger.
removal-really = Remove for good
removal-blocked = The block would go with the contact. Take it back first, or remove the conversation alone.
removal-oneself = That is your own account. Only what you wrote to yourself can go.
shared-title = Files
shared-none = None yet.
face-name-theirs = “{ $name }” is a name of their own choice. It proves nothing; the handle is who they are.
nickname = Name on your devices
nickname-note = Nobody else sees it. With nothing here it is the name of their own choice, or the handle.
keep = Keep
pin = Above the others
mute-title = Notifications
mute-no = As chosen in the settings
mute-for = None for { $time }
mute-for-good = None
mute-until = None until { $when }
timer-title = Disappearing messages
timer-note = Counts for what either of you writes from now on.
timer-off = Messages stay
block-note = The server keeps them away, and does not tell them.
unblock-note = They may write to you again.
accept-note = They may write to you.

## The settings

account = Account
face = How others see you
face-note = Everybody whom you have accepted, and who has written to you, sees this name and this picture. They go to them sealed like a message; the server sees neither. To everybody else you are your handle and its pattern. Whoever has seen them may have kept them.
face-name = Name
face-no-name = No name chosen: your handle is shown.
face-choose = Choose a picture…
face-remove = Remove the picture
face-save = Show to others
discard = Discard
face-cut-side = How much of it
face-cut-left = From left to right
face-cut-top = From top to bottom
copy-server = Copy the server's address
own-link = Your link
own-link-note = Whoever has it from you yourself, scanned or pasted, writes to you and to nobody in between.
copy-link = Copy your link
appearance = Appearance
look = Light or dark
look-system = As the system
look-light = Light
look-dark = Dark
scale = Size of text
language = Language
privacy = Privacy
receipts = Tell that messages came and were read
receipts-note = A receipt also shows the server, by its time, that you are there.
tell-typing = Tell that I am writing
tell-typing-note = Only people whom you have accepted hear of it.
this-device-title = This device
network = Network
connection = Connection
way-go = Take this way
way-none = Not tried yet.
way-here = Directly, within this machine.
way-exposed = Directly: the server and every network on the way see this machine's address.
way-by-proxy = Through the proxy at { $proxy }.
tor-off = Through Tor, which does not run at the moment.
tor-starting = Tor starts: { $percent } %
tor-ready = Through Tor, which is ready. Your server was not reached through it yet.
tor-verified = Through Tor, and your server has proved its keys through it.
bridges-used = Tor begins at bridges ({ $kinds }).
bridges-unused = Tor begins at public relays: whoever watches this network sees that it is Tor, and not for what.
check = Ask the server
checked = The server has answered after { $took } milliseconds.
new-circuits = New circuit
circuits-renewed = From now on other relays are used. The connection is made anew.
server-title-short = Server
network-note = This device talks to this server only if it proves both of these keys. They came with its address.
lock-after = Lock when nobody is there
lock-never = Never
lock-note = A locked profile receives nothing. Its password opens it again.
lock-now = Lock now
clear-clipboard = Clear secrets from the clipboard
clear-clipboard-note = Your link and safety numbers leave it after a minute.
notices = Notifications
notices-show = What they show
notices-nothing = Nothing at all
notices-something = That something came
notices-name = Who has written
notices-words = Who, and what
notices-note = What they show, others may see on this screen, and your desktop may keep. Who has not been accepted yet is never quoted.
close-to-tray = Keep running in the tray
close-to-tray-note = A closed window leaves the program there. Without a tray, closing ends it.
notice-something = A message has come.
notice-request = Somebody would like to write to you.
notice-file = File: { $name }
tray-show = Open
tray-lock = Lock
tray-quit = Quit
tray-locked = Locked
tray-nothing = Nothing new
tray-unread = { $count ->
    [one] 1 new message
   *[other] { $count } new messages
}
accent = Colour
accent-green = Green
accent-blue = Blue
accent-violet = Violet
accent-rust = Rust
accent-grey = Grey
density = Lines of the list
density-roomy = Roomy
density-dense = Dense
storage = Storage
usage-messages = Messages, people and keys
usage-files = Files
usage-where = All of it is sealed with your password, in { $path }
clear-files = Clear fetched files
clear-files-really = Clear them
clear-files-note = Files that others have sent go from this device and can be fetched again while the server has them. Yours stay.
cleared = { $size } are free again.
backup = Backup
backup-note = One file with your identity, people and messages, sealed with a password of its own. It brings the account back if every device is lost. What disappears is not in it.
backup-password = Password of the backup
backup-make = Make a backup
backup-busy = Writing…
written = { $path } has { $people } people and { $messages } messages.
export = Export
export-note = People and messages in one file that anybody can read who gets at it. What disappears is not in it.
export-make = Export
export-really = Write it unsealed
devices = Devices
device-number = Device { $number }
device-added = added { $when }
this-device = this device
remove = Remove
remove-really = Remove for good
add-device = Add a device
add-device-note = On the new device choose to sign in with another device. It shows a code; put it in here.
link-code = Code of the new device
compare-digits = Does the new device show these digits too?
digits-same = Yes, let it in
digits-differ = No
device-is-in = The new device is in your account.
keys = Keyboard
keys-send = Send
keys-line = New line
keys-edit = In an empty field: change your last message
keys-palette = People, messages, and what the window can do
keys-list = Search in the list
keys-new = New conversation
keys-file = Send a file
keys-settings = Settings
keys-lock = Lock the profile
keys-back = One step back
keys-sheet = These keys
keys-neighbour = Conversation above, below
keys-nth = First to ninth conversation
keys-paste = Paste words or a picture
keys-emoji = Emoji
keys-naming = An emoji by its name, as in :rocket
keys-choose = Choose a message
keys-react = React to it
keys-open = Open, fetch or save its file
keys-field = On to what is read next, with Shift back
keys-arrows = In lists, menus, sliders and choices
keys-press = Press what has the ring around it
keys-page = Turn a page
about = About
version = Endtoend { $version }
licence = Free software under the GNU Affero General Public License, version 3.
font-licence = The typefaces are Inter and a part of Noto Color Emoji, under the SIL Open Font License.
licences-note = It is made of many parts by others, each under a licence that allows that.
licences-show = Show them
licences-hide = Hide them

## What went wrong, and what to do

clock-ahead = The clock of this device is { $by } ahead of the server's. Set it right, or connections may be refused.
clock-behind = The clock of this device is { $by } behind the server's. Set it right, or connections may be refused.
offline-idle = Not connected.
offline-unreachable = The server cannot be reached. What you write waits here. Is the network there, and the address right?
tor-no-network = There is no network: Tor reaches nothing at all. Is the cable in, or the wireless network on?
tor-clock-wrong = The clock of this machine is wrong, so Tor trusts no relay. Set date, time and time zone.
tor-blocked = This network hinders Tor. Try another network, or give it bridges.
tor-bridge-refused = No bridge answers. They may be blocked too, or gone: get others.
tor-program-missing = A program that a bridge needs is not here. Install one that is named here, or say where it lies.
tor-program-unknown = Nothing known here speaks to this kind of bridge. Say where its program lies, or take other bridges.
tor-program-failed = The program that speaks to bridges does not work. Run it by hand to see why, or name another one.
tor-stuck = Tor gets no further, and is tried again. Are date, time and time zone right? Bridges may help.
tor-folder = Tor's folder in the profile cannot be used. It must be yours, and closed to others.
tor-failed = Tor does not start. Close other programs and try again; a Tor that runs already can be used as a proxy.
tor-not-built = This program was built without Tor. A Tor that runs already can be used as a proxy.
onion-key-missing = This server lets in only those who have a key from its operator. Ask for one, and give it with endtoend-cli: tor key add.
onion-key-wrong = This server does not know the key that you have for it. Ask its operator for another one.
offline-untrusted = Something answers that is not your server. Nothing was sent. Ask for its present address.
offline-closed = The server has ended the connection. If this profile is open elsewhere, close it there.
offline-protocol = The server speaks otherwise than this program. One of the two is too old.
backup-under-way = Another backup or export is being written. Wait for it.
backup-given-up = It was given up before it was whole. Nothing of it is left.
engine-stopped = The profile is closed. Close the window and open it again.
engine-not-started = The system gives no room for another thread. Close something else and try again.
profile-is-locked = The profile is locked.
profile-silent = The profile does not answer, perhaps because the disk is slow. Nothing is lost; try again in a moment.
profile-missing = There is no profile in this folder.
profile-exists = There is a profile in this folder already.
profile-locked = The profile is open in another window or program. Close it there first.
wrong-password = That is not the password. Try again; nobody can open this profile without it.
profile-damaged = The profile is damaged, and nothing was changed. Restore its folder from a backup.
profile-newer = A newer version of this program has written the profile. Install that version.
profile-memory = There is not enough memory to open the profile: 64 MiB are needed.
profile-unusable = The folder of the profile cannot be used. It must be yours and writable, on a disk with room.
profile-failed = The profile could not be read or written. If that stays so, restore its folder from a backup.
disk-full = The disk is full. Make room and try again: nothing was changed.
outbox-full = Too much waits to be sent. Wait until the server has taken some of it.
preferences-not-kept = What you have chosen counts now, and could not be kept for the next time.
account-exists = This profile has an account already.
other-account = The history that was restored here is another account's. Start over, or sign in to that account.
account-missing = This profile has no account yet.
account-busy = Something else is being asked. Try again in a moment.
keys-failed = The keys of this device could not be made. Try again.
no-backup = There is no backup of this account. Sign in with another device, if one is still in the account.
link-failed = The other device's answer is not good. Begin anew, on both devices.
bad-link-code = That is no code of a new device, or it is too old. Begin anew there, and copy the code whole.
person-unknown = Not known on this device yet. As soon as you are connected, the server can be asked.
bad-keys = The server gave keys that contradict each other. Try again later; if that stays so, do not trust this server.
identity-not-changed = The identity has not changed.
identity-not-compared = The identity is not the one that you have compared. Compare anew.
send-identity-changed = Not sent: the identity has changed. Compare the safety number first.
send-blocked = Not sent: you have blocked this person.
send-no-conversation = Write something first.
send-not-refused = This message is tried again anyway.
link-bad = That is no whole link of a person. Copy all of it, to the last digit.
link-own = That is your own link.
link-other-server = The link is of another server. Nobody can write from one server to another.
link-other-identity = The link has another identity than you know of this person: it is an old one, or somebody is in between. Compare safety numbers.
nickname-bad = A name is one line of at most 128 bytes.
file-unreadable = The file cannot be read. Is the path whole?
files-too-many = So many files are not sent at once. Send these first.
picture-bad = This is no picture that can be shown. It can be saved, if you know what it is.
link-not-opened = The system has nothing that opens links. Copy it instead.
portrait-too-long = The picture has more than 32 MiB. Use a smaller one.
portrait-bad = That is no JPEG, PNG or WebP picture, or it is damaged. Choose another one.
sound-unknown = This is no sound that is known here. It can be saved.
sound-not-opened = The system has nothing that plays this sound. Save it instead.
file-too-long = The file is longer than 2 GiB.
file-damaged-picture = The file begins like a picture and is damaged, so nobody can say what else is in it. Nothing was sent.
file-busy = Some files are being sealed or saved. Try again when one of them is done.
file-not-here = The file is not on this device yet. Fetch it first.
file-not-moving = The file is not on its way any more.
file-too-large = The file is too large to be shown. Save it.
file-exists = There are too many files of this name. Make order in the folder first.
file-unwritable = The file could not be saved there. Is there room, and is the folder yours?
file-damaged = The file on this device is damaged. Fetch it again.
text-too-long = That is too long for one message. Say it in two.
refused-credentials = The server does not know this account with this password. If both are right, is this device's clock right?
refused-handle-taken = Somebody has this handle already. Choose another.
refused-registration-closed = This server takes nobody new. Ask whoever runs it.
refused-version = This program and the server do not fit together. One of the two is too old.
refused-unknown-account = Nobody on this server has that handle.
refused-later = The server has too much to do. Try again later.
refused-server-password = The server asks everybody for its own password. Whoever runs it knows it.
refused-invite = The server asks for an invitation that is still good. Whoever runs it makes them.
refused-too-many-devices = The account has as many devices as it may have. Remove one first.
refused-device-waits = This device was added by password and has to wait, so that its owner can object.
refused-disabled = Whoever runs the server has disabled this account.
refused-unknown-link = The code is wrong or too old. Begin anew on the new device.
refused-unknown-device = The account has no such device.
refused-otherwise = The server refused.
refused-no-such-message = The message is not here any more.
refused-not-the-writer = Only whoever wrote a message can change it.
refused-deleted = The message was deleted.
refused-no-text = The message has no text.
refused-too-long = That is a little too long for an answer, a change, or a message that disappears.
refused-older = Something later was said already.
refused-not-accepted = First this person has to be accepted.
address-scheme = The address of a server begins with endtoend://
address-host = Between endtoend:// and the port there is no name of a server.
address-port = The port is a number from 1 to 65535.
address-path = Only a single / may stand before the pin.
address-pin = The pin at the end is missing or not whole. Copy the whole address.
handle-length = A handle has 3 to 32 characters.
handle-character = A handle has only letters, digits, dots, dashes and underlines.
handle-scripts = A handle has letters of one alphabet only.
handle-confusable = These letters look like others. Write it with a to z, or choose another.
