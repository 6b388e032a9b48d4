//! How people show themselves, against a real node.

use std::fs::File;
use std::io::BufReader;

use endtoend_client_iced::app::Message;
use endtoend_client_iced::picture;

use super::common::Person;
use super::{Scene, acquainted};

/// Nothing else in the window has this colour.
const MAGENTA: [u8; 3] = [230, 0, 230];

/// A picture whose middle is magenta, and white beside it.
fn packed() -> Vec<u8> {
    let pixel = |at: u32| if (100..300).contains(&(at % 400)) { [230, 0, 230, 255] } else { [255; 4] };
    picture::pack(400, 200, (0..400 * 200).flat_map(pixel).collect()).unwrap().to_vec()
}

/// How many points before the eyes are magenta.
pub(super) fn magenta(person: &mut Person) -> usize {
    person.looks();
    person.hear();
    let folder = tempfile::tempdir().unwrap();
    let file = person.picture(folder.path());
    let mut reader = png::Decoder::new(BufReader::new(File::open(file).unwrap())).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut bytes).unwrap();
    let near = |pixel: &&[u8]| pixel.iter().zip(MAGENTA).all(|(is, wanted)| is.abs_diff(wanted) < 24);
    bytes.chunks_exact(4).filter(near).count()
}

#[test]
fn a_name_and_a_picture_are_shown_to_whom_was_accepted_and_go_again() {
    let Scene { node: _node, mut alice, mut bob, homes } = acquainted();
    let file = homes.path().join("face.png");
    std::fs::write(&file, packed()).unwrap();
    assert_eq!(magenta(&mut bob), 0);
    alice.click("Settings");
    alice.wait_for("How others see you");
    alice.write("face-name", "Alice of the harbour");
    alice.happens(Message::Dropped(file));
    alice.wait_for("How much of it");
    alice.click("Show to others");
    alice.wait_until("it to be told", |alice| !alice.sees("Show to others"));
    assert!(magenta(&mut alice) > 1_000, "as it is seen by others");

    // In the list, and above the conversation.
    bob.wait_until("the name", |bob| bob.sees_nth("Alice of the harbour", 1));
    bob.wait_until("the picture", |bob| magenta(bob) > 500);
    bob.click("Details");
    bob.wait_for(
        "“Alice of the harbour” is a name of their own choice. It proves nothing; the handle is who they are.",
    );
    // What bob calls her counts more, and who she is stays there.
    bob.write("nickname", "Alice from work");
    bob.click("Keep");
    bob.wait_until("the nickname", |bob| bob.sees_nth("Alice from work", 2));
    assert!(bob.sees("alice"));

    alice.click("Remove the picture");
    alice.click("Show to others");
    bob.wait_until("the pattern", |bob| magenta(bob) == 0);
    alice.close();
    bob.close();
}

#[test]
fn what_is_no_picture_is_not_shown_and_said_so() {
    let Scene { node: _node, mut alice, bob, homes } = acquainted();
    let file = homes.path().join("face.svg");
    std::fs::write(&file, b"<svg onload=alert(1)>").unwrap();
    alice.click("Settings");
    alice.wait_for("How others see you");
    alice.happens(Message::Dropped(file));
    alice.wait_for("That is no JPEG, PNG or WebP picture, or it is damaged. Choose another one.");
    assert!(!alice.sees("Show to others"));
    alice.close();
    bob.close();
}
