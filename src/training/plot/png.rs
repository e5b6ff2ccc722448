//! PNG output, rendered with tiny-skia: plotters draws and tiny-skia fills.
//!
//! Plotters' own bitmaps, and resvg's, need a font that is installed, or the file of one. Here the letters
//! come as small pictures of Noto Sans Mono (SIL Open Font License 1.1), Latin ones alone.

use std::convert::Infallible;

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
};
use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, PremultipliedColorU8, Rect, Stroke,
    Transform,
};

use super::style::draw_error;
use crate::Error;

const FONT: (FontWeight, RasterHeight) = (FontWeight::Regular, RasterHeight::Size32);

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// Return the bytes of a PNG file of `width` by `height` pixels that `draw` draws on white. `svg` is the same picture,
/// for its letters.
///
/// # Errors
/// If the picture is too large or has a letter that the font does not have, and the errors of `draw`.
pub(super) fn encode(
    (width, height): (u32, u32),
    svg: &str,
    draw: impl FnOnce(Canvas<'_>) -> crate::Result<()>,
) -> crate::Result<Vec<u8>> {
    let is_missing = |letter: &char| !letter.is_control() && get_raster(*letter, FONT.0, FONT.1).is_none();
    if let Some(letter) = svg.chars().find(is_missing) {
        let problem = format!(
            "a PNG picture has Latin letters alone, and this one needs {letter:?}; draw an .svg file"
        );
        return Err(Error::Message(problem));
    }
    let mut pixels = Pixmap::new(width, height).ok_or_else(|| draw_error("it is too large"))?;
    pixels.fill(Color::WHITE);
    draw(Canvas(&mut pixels))?;
    pixels.encode_png().map_err(draw_error)
}

/// A white picture to draw on.
pub(super) struct Canvas<'a>(pub(super) &'a mut Pixmap);

impl Canvas<'_> {
    fn path(points: impl IntoIterator<Item = BackendCoord>, closed: bool) -> Option<Path> {
        let mut path = PathBuilder::new();
        for (index, (x, y)) in points.into_iter().enumerate() {
            let (x, y) = (x as f32 + 0.5, y as f32 + 0.5);
            if index == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
        }
        if closed {
            path.close();
        }
        path.finish()
    }

    fn stroke(&mut self, path: Option<Path>, style: &impl BackendStyle) -> Drawn {
        if let Some(path) = path {
            let stroke = Stroke {
                width: style.stroke_width() as f32,
                line_cap: LineCap::Round,
                line_join: LineJoin::Round,
                ..Stroke::default()
            };
            self.0.stroke_path(&path, &paint(style.color()), &stroke, Transform::identity(), None);
        }
        Ok(())
    }

    fn fill(&mut self, path: Option<Path>, color: BackendColor) -> Drawn {
        if let Some(path) = path {
            self.0.fill_path(&path, &paint(color), FillRule::Winding, Transform::identity(), None);
        }
        Ok(())
    }

    /// Lay a colour over a pixel.
    fn blend(&mut self, (x, y): BackendCoord, color: BackendColor, share: f64) {
        let inside = (0..self.0.width() as i32).contains(&x) && (0..self.0.height() as i32).contains(&y);
        let index = if inside { y as usize * self.0.width() as usize + x as usize } else { usize::MAX };
        let Some(pixel) = self.0.pixels_mut().get_mut(index) else { return };
        let share = share * color.alpha;
        let mix =
            |below: u8, above: u8| (f64::from(below) * (1. - share) + f64::from(above) * share).round() as u8;
        let (r, g, b) = color.rgb;
        // The picture begins white, and stays opaque.
        let mixed = [mix(pixel.red(), r), mix(pixel.green(), g), mix(pixel.blue(), b)];
        *pixel = PremultipliedColorU8::from_rgba(mixed[0], mixed[1], mixed[2], u8::MAX).unwrap_or(*pixel);
    }
}

fn paint(color: BackendColor) -> Paint<'static> {
    let (r, g, b) = color.rgb;
    let mut paint = Paint::default();
    paint.set_color(Color::from_rgba8(r, g, b, (color.alpha * 255.).round() as u8));
    paint
}

impl DrawingBackend for Canvas<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.0.width(), self.0.height())
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Drawn {
        self.blend(point, color, 1.);
        Ok(())
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.stroke(Self::path([from, to], false), style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        if fill {
            let rect = Rect::from_ltrb(left as f32, top as f32, right as f32, bottom as f32);
            return self.fill(rect.map(PathBuilder::from_rect), style.color());
        }
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
        self.stroke(Self::path(corners, true), style)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        self.stroke(Self::path(path, false), style)
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        (x, y): BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let path = PathBuilder::from_circle(x as f32 + 0.5, y as f32 + 0.5, radius as f32);
        if fill { self.fill(path, style.color()) } else { self.stroke(path, style) }
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Drawn {
        self.fill(Self::path(corners, true), style.color())
    }

    fn draw_text<T: BackendTextStyle>(&mut self, text: &str, style: &T, pos: BackendCoord) -> Drawn {
        let (width, height) = self.estimate_text_size(text, style)?;
        let (width, height) = (width as i32, height as i32);
        let left = match style.anchor().h_pos {
            HPos::Left => 0,
            HPos::Center => -width / 2,
            HPos::Right => -width,
        };
        let top = match style.anchor().v_pos {
            VPos::Top => 0,
            VPos::Center => -height / 2,
            VPos::Bottom => -height,
        };
        for (index, letter) in text.chars().enumerate() {
            let raster = get_raster(letter, FONT.0, FONT.1);
            let rows = raster.iter().flat_map(|raster| raster.rows()).enumerate();
            for (y, row) in rows {
                for (x, &share) in row.iter().enumerate().filter(|(_, share)| **share > 0) {
                    let x = left + (index * row.len() + x) as i32;
                    let (x, y) = style.transform().transform(x, top + y as i32);
                    self.blend((pos.0 + x, pos.1 + y), style.color(), f64::from(share) / 255.);
                }
            }
        }
        Ok(())
    }

    fn estimate_text_size<T: BackendTextStyle>(
        &self,
        text: &str,
        _style: &T,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let width = text.chars().count() * get_raster_width(FONT.0, FONT.1);
        Ok((width as u32, FONT.1.val() as u32))
    }
}

#[cfg(test)]
mod tests {
    use plotters::prelude::*;

    use super::super::style::text_style;
    use super::*;

    #[test]
    fn letters_are_centred() {
        let mut pixels = Pixmap::new(200, 60).unwrap();
        pixels.fill(tiny_skia::Color::WHITE);
        let area = Canvas(&mut pixels).into_drawing_area();
        area.draw(&Text::new("léo", (100, 30), text_style(HPos::Center, VPos::Center))).unwrap();
        drop(area);
        let dark: Vec<(usize, usize)> = pixels
            .pixels()
            .iter()
            .enumerate()
            .filter(|(_, pixel)| pixel.red() < 128)
            .map(|(index, _)| (index % 200, index / 200))
            .collect();
        let ends = |of: fn(&(usize, usize)) -> usize| {
            (dark.iter().map(of).min().unwrap(), dark.iter().map(of).max().unwrap())
        };
        let (left, right) = ends(|dot| dot.0);
        let (top, bottom) = ends(|dot| dot.1);
        assert!((70..100).contains(&left) && (100..130).contains(&right), "{left} {right}");
        assert!((14..30).contains(&top) && (30..46).contains(&bottom), "{top} {bottom}");
    }

    #[test]
    fn letters_without_a_picture_are_refused() {
        assert!(encode((9, 9), "<text>né</text>\n", |_| Ok(())).unwrap().starts_with(b"\x89PNG"));
        let error = encode((9, 9), "<text>n배</text>", |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("needs '배'; draw an .svg file"), "{error}");
    }
}
