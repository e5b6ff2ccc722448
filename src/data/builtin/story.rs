//! `builtin:story`, the default training text: small English stories, one a line.
//!
//! > Hugo and Ivy lived near the roses. They shared a yellow lamp. The foxes that the young baker
//! > followed opposite the trees were sleepy, so Hugo brought them a soft bed. Ivy said, "Will told me,
//! > 'Leo laughed, "We must hide after supper."'" Hugo skipped home and hid the yellow lamp opposite the
//! > river.
//!
//! The stories have long-range dependencies of English. A verb agrees with a noun many words before, across nouns of
//! another number: the foxes, not the baker, were sleepy. Quotes nest three deep, and the innermost closes first.
//! Pronouns agree with the hero, and names, colours and things are repeated.
//!
//! # The lowest possible loss
//! The stories come from a probabilistic grammar, and [`floor`] computes their entropy from that
//! grammar: 0.204 nats per character, or a perplexity of 2.91 per word. For a story S and its
//! derivation D, `H(D) = H(S) + H(D | S)`. The entropy of the derivation is a sum over choices, and
//! `H(D | S) = 0` because a story has only one derivation.
//!
//! The derivation is unique because, at every choice and for all values of the variables, no option prints a prefix of
//! the text of another option. So the option and its end are determined when the story is read from the left. The
//! tests prove it by a comparison of all options of all choices under all bindings. [`log_probability`] sums over all
//! derivations and agrees.
//!
//! # Example
//! ```
//! use rnn_zoo::data::builtin::story;
//! use rnn_zoo::rng::{Purpose, stream};
//!
//! let mut stories = story::stories(stream(1, Purpose::Train, 0), 10);
//! let first = stories.next().unwrap();
//! assert!(first.ends_with(".\n"));
//! println!("{first} has {:.1} nats", -story::log_probability(&first).unwrap());
//! println!("a perfect model: {:.3} nats per character", story::floor().nats_per_character());
//! ```

use std::sync::LazyLock;

use super::floor::Floor;
use super::grammar::Grammar;
use crate::rng::Rng;

/// The grammar of the stories, in the notation of `grammar/notation.rs`: `<hero:person>` chooses a person
/// and prints the name, `<hero>` prints it again, `<hero.he>` a pronoun, `<scene>` calls a rule.
const GRAMMAR: &str = r#"
# Tables of the people and things in a story, with the forms that agree.

person = name, he, him, his
  Anna, Clara, Emma, Grace, Ivy, Kate, Mia, Olive, Ruth, Sara: she, her, her
  Ben, Daniel, Finn, Hugo, Jack, Leo, Noah, Peter, Tom, Will: he, him, his

animal = noun, was, is, them
  cat, dog, duck, fox, goat, hen, horse, owl, rabbit, swan: was, is, it
  cats, dogs, ducks, foxes, goats, hens, horses, owls, rabbits, swans: were, are, them

colour = adjective
  red, blue, green, yellow, silver, golden, white, black

thing = noun
  ball, basket, bell, book, cup, drum, flute, hat, kite, lamp, map, ring, scarf, spoon, violin, whistle

need = adjective, gift
  bored: a new game
  cold: a warm blanket
  hungry: some bread
  lonely: a friend
  sad: a flower
  sleepy: a soft bed
  thirsty: some water

# Plots, one a line; the hero, the friend and the thing last to its end.

story
  3 One <weather> <day>, <hero:person> found a <colour:colour> <thing:thing> <place>. <scene>
    <friend:person> <said>, <quote> <ending>
  2 <hero:person> had lost <hero.his> <colour:colour> <thing:thing>, so <hero.he> <looked> <place>. <scene>
    <friend:person> <said>, <quote> At last <hero> found the <colour> <thing> <place>.
  2 When <hero:person> was <age>, <friend:person> gave <hero.him> a <colour:colour> <thing:thing>.
    <friend> <said>, <quote> <scene> <keep>
  1 <hero:person> and <friend:person> lived <place>. They shared a <colour:colour> <thing:thing>.
    <scene> <friend> <said>, <quote> <keep>

# The verb agrees with the animals, whatever stands between them.
scene
  The <who:animal> <aside> <need:need>, so (<hero>|<hero.he>) (brought|found|gave) <who.them> <need.gift>.

aside
  2 <place> <who.was>
  1 that lived <place> <who.was>
  1 that the <old> <worker> <fed> <who.was>
  2 that the <old> <worker> <fed> <place> <who.was>

# Quotes, and quotes in quotes.
quote
  3 "<news>."
  2 "<second:person> told me, '<news>.'"
  1 "<second:person> told me, '<third:person> <said>, "<news>."'"

news
  3 The <what:animal> <place> <what.is> (asleep|gone|happy|lost|safe)
  2 The <old> <worker> <fed> the <what:animal> <place>
  1 It will (rain|snow|thunder) (before|until|after) (dawn|dusk|lunch|noon|supper)
  1 We must (hide|play|rest|work) (before|until|after) (dawn|dusk|lunch|noon|supper)

# Endings, which repeat the thing.
ending
  1 <hero> gave the <colour> <thing> to <friend> and <ran> home.
  1 <keep>

keep
  2 <hero> and <friend> <ran> home with the <colour> <thing>.
  2 <hero> <ran> home and hid the <colour> <thing> <place>.
  1 That night, the <colour> <thing> lay beside <hero.his> bed.

# Places, people and manners.

place
  (beside|beyond|by|near|opposite) the <landmark>

landmark
  (barn|boats|bridge|castle|church|garden|gates|houses|lake|market|mill|pond|river|roses|school|tower|trees)

worker
  (baker|children|doctor|farmer|fishermen|miller|nurse|painter|sailors|singer|twins|weaver)

old
  (brave|clever|happy|kind|old|quiet|tall|young)

weather
  (bright|cloudy|cool|foggy|quiet|rainy|sunny|windy)

day
  (afternoon|day|evening|morning)

age
  (five|six|seven|eight|nine|ten)

said
  (answered|called|laughed|said|shouted|whispered)

looked
  (hunted|looked|searched)

fed
  (called|chased|fed|followed|heard|loved|saw|washed)

ran
  (danced|hurried|ran|skipped|walked)
"#;

static STORIES: LazyLock<Grammar> =
    LazyLock::new(|| Grammar::parse(GRAMMAR).expect("invariant: the grammar above is well formed"));

/// Draw `count` stories, each a line that ends in a newline.
pub fn stories(mut rng: Rng, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |_| STORIES.sample(&mut rng).0 + "\n")
}

/// The entropy and the expected length of a story, computed from the grammar.
pub fn floor() -> Floor {
    static FLOOR: LazyLock<Floor> = LazyLock::new(|| {
        let expected = STORIES.expected();
        Floor {
            nats_per_story: expected.nats,
            characters_per_story: expected.characters + 1.0,
            // A line has one word more than it has spaces; the newline is one `<eos>`.
            words_per_story: expected.spaces + 2.0,
        }
    });
    *FLOOR
}

/// The log-probability of one story with its newline, in nats; `None` if the text is not a story.
///
/// Minus the mean over the stories of a text is the loss of a perfect model on this text.
pub fn log_probability(story: &str) -> Option<f64> {
    STORIES.log_probability(story.strip_suffix('\n')?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::floor::tests::assert_mean;
    use super::super::grammar::ambiguity::clash;
    use super::*;
    use crate::rng::{Purpose, stream};

    fn drawn_stories() -> Vec<String> {
        stories(stream(3, Purpose::Test, 0), 2000).collect()
    }

    #[test]
    fn no_option_prints_a_prefix_of_another() {
        assert_eq!(clash(&STORIES), None);
    }

    #[test]
    fn probability_of_a_story_is_that_of_its_derivation() {
        let mut rng = stream(1, Purpose::Test, 0);
        for _ in 0..4000 {
            let (story, derivation) = STORIES.sample(&mut rng);
            let total = log_probability(&format!("{story}\n")).unwrap();
            assert!((total - derivation).abs() < 1e-9, "{total} is not {derivation}: {story}");
        }
    }

    #[test]
    fn sample_means_agree_with_the_computed_floor() {
        let mut rng = stream(2, Purpose::Test, 0);
        let samples: Vec<(String, f64)> = (0..40_000).map(|_| STORIES.sample(&mut rng)).collect();
        let mean_of = |value: fn(&(String, f64)) -> f64| samples.iter().map(value).collect::<Vec<_>>();
        let floor = floor();
        assert_mean("nats", floor.nats_per_story, &mean_of(|(_, log_probability)| -log_probability));
        let characters = mean_of(|(story, _)| story.chars().count() as f64 + 1.0);
        assert_mean("characters", floor.characters_per_story, &characters);
        let words = mean_of(|(story, _)| story.split_whitespace().count() as f64 + 1.0);
        assert_mean("words", floor.words_per_story, &words);
    }

    #[test]
    fn floor_is_that_of_the_grammar() {
        let floor = floor();
        assert!((floor.nats_per_story - 51.870).abs() < 1e-3, "{floor:?}");
        assert!((floor.nats_per_character() - 0.2044).abs() < 1e-4, "{floor:?}");
        assert!((floor.nats_per_word().exp() - 2.907).abs() < 1e-3, "{floor:?}");
    }

    #[test]
    fn first_story_of_seed_1_is_fixed() {
        let first = stories(stream(1, Purpose::Train, 0), 1).next().unwrap();
        assert_eq!(
            first,
            "One sunny afternoon, Hugo found a silver scarf beside the boats. \
             The rabbits beyond the boats were sad, so he brought them a flower. \
             Ruth shouted, \"Sara told me, 'The young fishermen fed the hen by the market.'\" \
             Hugo ran home and hid the silver scarf by the castle.\n"
        );
    }

    #[test]
    fn equal_seeds_give_equal_stories_and_splits_differ() {
        let draw = |seed, purpose| stories(stream(seed, purpose, 0), 50).collect::<Vec<_>>();
        assert_eq!(draw(5, Purpose::Train), draw(5, Purpose::Train));
        assert_ne!(draw(5, Purpose::Train), draw(6, Purpose::Train));
        assert_ne!(draw(5, Purpose::Train), draw(5, Purpose::Valid));
    }

    #[test]
    fn lines_words_and_characters_are_within_bounds() {
        let stories = drawn_stories();
        let text = stories.concat();
        for story in &stories {
            assert!((150..=400).contains(&story.len()), "{} characters: {story}", story.len());
            assert!(story.ends_with(".\n") && !story.contains("  "), "{story}");
        }
        let unexpected = |c: &char| !(c.is_ascii_alphabetic() || " .,\"'\n".contains(*c));
        assert_eq!(text.chars().find(unexpected), None);
        let letters = |word: &str| word.trim_matches(|c: char| !c.is_alphabetic()).to_lowercase();
        let vocabulary: BTreeSet<String> = text.split_whitespace().map(letters).collect();
        assert!((150..=300).contains(&vocabulary.len()), "{} words", vocabulary.len());
        let characters: BTreeSet<char> = text.chars().collect();
        assert!(characters.len() <= 60, "{} characters", characters.len());
    }

    /// The deepest nesting of a story's quotes. Panics if one closes that is not open.
    fn quote_depth(story: &str) -> usize {
        let (mut open, mut deepest, mut before) = (Vec::new(), 0, ' ');
        for c in story.chars() {
            if "\"'".contains(c) {
                if before == ' ' {
                    assert!(!open.contains(&c) || open.last() != Some(&c), "opened twice: {story}");
                    open.push(c);
                } else {
                    assert_eq!(open.pop(), Some(c), "closed in the wrong order: {story}");
                }
            }
            deepest = deepest.max(open.len());
            before = c;
        }
        assert!(open.is_empty(), "left open: {story}");
        deepest
    }

    #[test]
    fn quotes_are_balanced_and_nest_three_deep() {
        let depths: BTreeSet<usize> = drawn_stories().iter().map(|story| quote_depth(story)).collect();
        assert_eq!(depths, BTreeSet::from([1, 2, 3]));
    }

    #[test]
    fn verb_agrees_with_the_animals_over_any_distance() {
        let (mut singular, mut farthest) = (0, 0);
        let stories = drawn_stories();
        for story in &stories {
            // A quote has no space before its first word.
            let scene = story.split(" The ").nth(1).and_then(|scene| scene.split(',').next()).unwrap();
            let words: Vec<&str> = scene.split(' ').collect();
            let (verb, other) = if words[0].ends_with('s') { ("were", "was") } else { ("was", "were") };
            let distance = words.iter().position(|word| *word == verb).unwrap_or(0);
            assert!(distance > 0 && !words.contains(&other), "{scene}");
            singular += usize::from(verb == "was");
            farthest = farthest.max(distance);
        }
        assert!((stories.len() * 2 / 5..stories.len() * 3 / 5).contains(&singular), "{singular}");
        assert!(farthest >= 9, "{farthest} words at most");
    }

    #[test]
    fn pronoun_agrees_with_the_hero() {
        let girls = ["Anna", "Clara", "Emma", "Grace", "Ivy", "Kate", "Mia", "Olive", "Ruth", "Sara"];
        let mut pronouns = 0;
        for story in drawn_stories() {
            let hero = story
                .split([' ', ','])
                .find(|word| !["One", "When"].contains(word) && word.starts_with(|c: char| c.is_uppercase()));
            let wrong = if girls.contains(&hero.unwrap()) { ", so he " } else { ", so she " };
            assert!(!story.contains(wrong), "{story}");
            pronouns += usize::from(story.contains(", so he ") || story.contains(", so she "));
        }
        assert!(pronouns > 500, "{pronouns}");
    }

    #[test]
    fn thing_is_repeated_in_the_last_sentence() {
        for story in drawn_stories() {
            let last = story.trim_end().rsplit(['.', '"']).find(|sentence| !sentence.is_empty()).unwrap();
            let words: Vec<&str> = last.split([' ', ',']).collect();
            let returned = words.windows(3).filter(|phrase| phrase[0] == "the");
            let told = |phrase: &[&str]| {
                ["a", "her", "his"]
                    .iter()
                    .any(|first| story.contains(&format!(" {first} {} {}", phrase[1], phrase[2])))
            };
            assert!(returned.into_iter().any(told), "{story}");
        }
    }

    #[test]
    fn broken_rules_have_no_probability() {
        let story = drawn_stories().into_iter().find(|story| story.contains(" were ")).unwrap();
        assert!(log_probability(&story).is_some());
        for broken in [
            story.replace(" were ", " was "),
            story.replacen('"', "'", 1),
            story.replace('\n', ""),
            format!("{story}\n"),
            String::new(),
            "\n".into(),
        ] {
            assert_eq!(log_probability(&broken), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn every_seed_draws_stories_of_the_grammar(seed: u64) {
            for story in stories(stream(seed, Purpose::Train, 0), 3) {
                prop_assert!(log_probability(&story).is_some_and(|nats| nats < 0.0), "{}", story);
                quote_depth(&story);
            }
        }
    }
}
